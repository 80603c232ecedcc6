"""What can go wrong with maps, and which test holds what then happens.

`FAULTS` is the table: what is wrong, what is done, and the tests that show it, by file.
"""

import ast
import errno
import signal
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, SHAPE, results, write_image

import isoscan as iso
from isoscan.errors import ImageFileError
from isoscan.nifti import maps as map_files
from isoscan.nifti.maps import read_flat

FAULTS = {
    44: (
        "a file is cut off",
        "all such files are named; others go on with --skip-bad",
        "test_bad_maps: test_truncated_files_are_named test_a_truncated_uncompressed_file_is_named",
        "test_skipped_maps: test_all_damage_that_only_a_whole_pass_finds_is_named_at_once "
        "test_the_rest_is_harmonized_as_if_the_damaged_had_not_been_given "
        "test_the_command_goes_on_and_says_so_everywhere",
    ),
    45: (
        "a bit is flipped, a checksum is wrong",
        "refused by name",
        "test_bad_maps: test_no_flipped_bit_goes_unnoticed test_wrong_checksum_is_found",
    ),
    46: (
        "something follows the image",
        "ignored with a warning",
        "test_bad_maps: test_trailing_junk_is_ignored_with_a_warning",
    ),
    47: (
        "empty files, web pages, wrong suffixes",
        "refused, saying what they are",
        "test_bad_maps: test_files_that_are_no_images_are_recognised",
    ),
    48: (
        "a header that claims terabytes, a file that inflates to more than its header says",
        "refused before reading",
        "test_bad_maps: test_impossible_headers_are_refused_before_reading "
        "test_gzip_bombs_are_not_inflated test_random_headers_never_crash",
    ),
    49: (
        "shapes differ",
        "refused, with counts",
        "test_bad_maps: test_maps_on_other_grids_are_counted_and_refused",
    ),
    50: (
        "affines differ, sides are flipped, an affine is flat; brains are not registered",
        "refused, with counts; nothing is resampled",
        "test_bad_maps: test_maps_on_other_grids_are_counted_and_refused "
        "test_maps_of_one_file_name_are_all_checked test_affines_may_differ_by_rounding "
        "test_weighted_images_in_their_own_space_are_refused",
        "test_overlap: test_maps_of_brains_that_lie_anywhere_are_refused "
        "test_registered_maps_of_any_kind_pass",
    ),
    51: (
        "a fourth axis",
        "refused, unless its length is 1",
        "test_bad_maps: test_maps_on_other_grids_are_counted_and_refused "
        "test_a_fourth_axis_of_length_one_is_dropped",
    ),
    52: (
        "integers with a slope, or a slope that is none",
        "scaled as the standard says; results are float32 without slope",
        "test_bad_maps: test_values_are_those_nibabel_reads "
        "test_written_bytes_are_the_same_and_keep_space_and_units",
        "test_fault_table: test_a_slope_of_zero_means_not_scaled",
    ),
    53: (
        "NaN around the brain; a mask that reaches beyond the maps",
        "no obstacle; counted by site",
        "test_bad_maps: test_nan_background_is_no_obstacle",
        "test_harmonize_volumes: test_zeros_of_a_whole_site_are_not_taken_for_values "
        "test_missing_voxels_follow_the_rule_of_tables",
    ),
    54: (
        "an empty mask, a mask on another grid",
        "refused",
        "test_bad_maps: test_masks_that_hold_no_brain_are_refused "
        "test_a_mask_on_another_grid_is_refused",
    ),
    55: (
        "links in a circle or without content, files nobody may read, a disk that fails",
        "refused by name",
        "test_bad_maps: test_links_without_content_and_loops_are_named "
        "test_unreadable_files_are_named",
        "test_fault_table: test_a_disk_that_fails_is_told_by_file",
    ),
    56: (
        "the run is killed",
        "no file is half there; --resume ends with the same bytes",
        "test_killed_runs: test_kills_at_random_moments_leave_no_trace "
        "test_what_a_killed_run_finished_is_kept",
        "test_stack_store: test_a_killed_run_is_taken_up_with_the_same_bytes",
    ),
    57: (
        "the disk is too small, or fills",
        "refused beforehand; told, and --resume goes on when there is room",
        "test_full_disk: test_a_small_disk_is_refused_and_a_full_one_is_taken_up "
        "test_a_limit_on_files_is_told_and_taken_up",
        "test_stack_store: test_too_small_a_disk_is_refused",
    ),
    58: (
        "results would replace inputs or other results",
        "refused; inputs are never replaced",
        "test_results_folder: test_inputs_are_never_replaced "
        "test_results_that_exist_are_not_replaced",
        "test_stack_store: test_stores_that_exist_are_not_replaced",
        "test_bids: test_what_others_wrote_stays",
    ),
    59: (
        "two runs into one folder",
        "the second is refused",
        "test_results_folder: test_two_runs_into_one_folder_are_refused",
    ),
    60: (
        "a worker dies, a job of a cluster is stopped",
        "done again by others; every shard may be repeated",
        "test_workers: test_a_worker_may_die test_workers_that_die_again_and_again_are_told",
        "test_shards: test_what_is_finished_and_unchanged_is_kept",
    ),
    61: (
        "Ctrl-C",
        "exit code 130, the journal is sound, and --resume is named",
        "test_fault_table: test_an_interrupted_run_says_how_to_go_on",
        "test_results_folder: test_a_line_cut_off_in_the_journal_is_dropped",
    ),
}


@pytest.mark.parametrize("number", range(44, 62))
def test_every_fault_has_tests(number):
    _, _, *files = FAULTS[number]
    for entry in files:
        file, _, names = entry.partition(": ")
        code = (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")
        defined = {one.name for one in ast.parse(code).body if isinstance(one, ast.FunctionDef)}
        assert names and set(names.split()) <= defined


def test_a_slope_of_zero_means_not_scaled(tmp_path):
    path = tmp_path / "map.nii"
    nib.save(nib.Nifti1Image(np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE), AFFINE), path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0, 7], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(bytes(content))
    expected = np.arange(np.prod(SHAPE)).reshape(SHAPE).ravel("F")
    np.testing.assert_array_equal(read_flat(path), expected)


def test_a_disk_that_fails_is_told_by_file(study, tmp_path, monkeypatch):
    paths, read = study.write(tmp_path), map_files._content

    def failing(path, *rest):
        if path.name == "sub-004_FA.nii.gz":
            raise OSError(errno.EIO, "Input/output error")
        return read(path, *rest)

    monkeypatch.setattr(map_files, "_content", failing)
    with pytest.raises(ImageFileError, match=r"1 of 43 maps cannot be read") as caught:
        iso.fit_volumes(paths, study.people, mask=nib.Nifti1Image(study.mask, AFFINE))
    assert "sub-004_FA.nii.gz: cannot be read: Input/output error" in str(caught.value)


def test_an_interrupted_run_says_how_to_go_on(preloaded, study, tmp_path):
    paths = study.write(tmp_path / "in")
    write_image(tmp_path / "mask.nii.gz", study.mask)
    table = study.people.assign(path=[f"in/{path.name}" for path in paths.values()])
    table.to_csv(tmp_path / "maps.tsv", sep="\t", index_label="participant_id")
    words = "volumes", "harmonize", tmp_path / "maps.tsv", "--mask", tmp_path / "mask.nii.gz"
    words += "--resume", "--no-figures", "-o"
    for attempt in range(5):  # the run may end before it is interrupted
        output = tmp_path / f"out-{attempt}"
        child = preloaded.start([*words, output])
        deadline = time.monotonic() + 30
        while not [*output.glob("sub-*.nii.gz")] and time.monotonic() < deadline:
            time.sleep(0.002)
        preloaded.signal(child, signal.SIGINT)
        if preloaded.wait() == 130:
            break
    assert "the same command and --resume" in preloaded.said
    assert "nothing half-written was left behind" in preloaded.said
    assert not [*output.rglob("*.part")]
    assert preloaded.run([*words, output]) == 0
    assert preloaded.run([*words, tmp_path / "whole"]) == 0
    assert results(output) == results(tmp_path / "whole")
