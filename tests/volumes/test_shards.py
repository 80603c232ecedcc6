"""A job in shards gives what one run gives, in any order, after any interruption."""

import nibabel as nib
import numpy as np
import pytest
from many_sites import AFFINE, make_study

import isoscan as iso
from isoscan.volumes import apply_shard, combine_shards, gather_shard, plan_shards


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Paths, people and mask of 90 maps from three sites."""
    folder = tmp_path_factory.mktemp("job")
    study = make_study({"KCL": 41, "MUC": 20, "OSL": 29}, seed=3)
    study.arrays["sub-004"][5, 4, 4] = np.nan
    paths = study.write(folder)
    mask = folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(study.mask, AFFINE), mask)
    return paths, study.people, mask


pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")


def in_shards(job, output, n_shards, order=None, **options):
    paths, people, mask = job
    plan_shards(paths, people, output, shards=n_shards, mask=mask, **options)
    shards = order or range(1, n_shards + 1)
    for shard in shards:
        assert gather_shard(output, paths, people, shard)
    model = combine_shards(output, paths, people)
    written = [path for shard in shards for path in apply_shard(output, paths, people, shard)]
    return model, sorted(written)


LINEAR = {"preserve": "age + C(sex)"}
CURVES = {"smooth": ["age"], "reference": "MUC", "outside": "keep"}


@pytest.mark.parametrize(("n_shards", "options"), [(1, LINEAR), (7, LINEAR), (3, CURVES)])
def test_shards_give_what_one_run_gives(job, tmp_path, n_shards, options):
    paths, people, mask = job
    whole, one = iso.harmonize_volumes(paths, people, mask=mask, output=tmp_path / "one", **options)
    model, written = in_shards(job, tmp_path / "many", n_shards, **options)
    effects, found = one.estimator.model_.effects, model.estimator.model_.effects
    for name in ("shift", "variance"):
        assert np.abs(getattr(effects, name) - getattr(found, name)).max() < 1e-10
    noise = one.estimator.model_.shared_noise
    assert model.estimator.model_.shared_noise == pytest.approx(noise, abs=1e-10)
    assert len(written) == len(whole)
    for path in whole:
        expected, harmonized = nib.load(path), nib.load(tmp_path / "many" / path.name)
        np.testing.assert_allclose(
            harmonized.get_fdata(), expected.get_fdata(), rtol=2e-7, atol=1e-10
        )
    if n_shards == 1:
        for path in [*whole, tmp_path / "one" / "model.isoscan"]:
            assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_order_of_the_shards_does_not_matter(job, tmp_path):
    in_shards(job, tmp_path / "one", 4)
    in_shards(job, tmp_path / "two", 4, order=[3, 1, 4, 2])
    for path in (tmp_path / "one").glob("*.*"):
        if path.suffix != ".isoscan" or path.name == "model.isoscan":
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_what_is_finished_and_unchanged_is_kept(job, tmp_path):
    paths, people, _ = job
    _, written = in_shards(job, tmp_path, 3)
    times = {path: path.stat().st_mtime_ns for path in written}
    before = {path: path.read_bytes() for path in written}
    model = (tmp_path / "model.isoscan").read_bytes()
    moments = tmp_path / "shards" / "moments-0002.isoscan"
    content = moments.read_bytes()
    assert not gather_shard(tmp_path, paths, people, 2)
    moments.write_bytes(content[:-7])
    assert gather_shard(tmp_path, paths, people, 2)
    assert moments.read_bytes() == content
    (tmp_path / "model.isoscan").unlink()
    combine_shards(tmp_path, paths, people)
    assert (tmp_path / "model.isoscan").read_bytes() == model
    written[0].write_bytes(b"damaged")
    written[1].unlink()
    for shard in (1, 2, 3):
        apply_shard(tmp_path, paths, people, shard)
    assert {path: path.read_bytes() for path in written} == before
    assert all(path.stat().st_mtime_ns == times[path] for path in written[2:])


def test_missing_steps_are_named(job, tmp_path):
    paths, people, mask = job
    with pytest.raises(iso.errors.MissingFileError, match="no plan file"):
        gather_shard(tmp_path, paths, people, 1)
    plan_shards(paths, people, tmp_path, shards=3, mask=mask)
    gather_shard(tmp_path, paths, people, 2)
    with pytest.raises(iso.errors.MissingFileError, match=r"2 of 3 shards .*: 1, 3.*--shard 1"):
        combine_shards(tmp_path, paths, people)
    with pytest.raises(iso.errors.MissingFileError, match="Combine the moments"):
        apply_shard(tmp_path, paths, people, 1)
    with pytest.raises(iso.errors.DataError, match="no shard 4: the plan has shards 1 to 3"):
        gather_shard(tmp_path, paths, people, 4)
    with pytest.raises(iso.errors.OutputExistsError, match="plan already"):
        plan_shards(paths, people, tmp_path, shards=2, mask=mask)


def test_a_job_that_changed_is_refused(job, tmp_path):
    paths, people, mask = job
    plan_shards(paths, people, tmp_path, shards=3, mask=mask)
    with pytest.raises(iso.errors.DataError, match="planned with"):
        gather_shard(tmp_path, paths, people.assign(age=people.age + 1), 1)
    gather_shard(tmp_path, paths, people, 1)
    stale = (tmp_path / "shards" / "moments-0001.isoscan").read_bytes()
    plan_shards(paths, people, tmp_path, shards=2, mask=mask, preserve="age", overwrite=True)
    assert not [*(tmp_path / "shards").glob("*.isoscan")]
    gather_shard(tmp_path, paths, people, 2)
    (tmp_path / "shards" / "moments-0001.isoscan").write_bytes(stale)
    with pytest.raises(iso.errors.ModelFileError, match="another plan"):
        combine_shards(tmp_path, paths, people)


def test_jobs_that_cannot_be_cut_are_refused(job, tmp_path):
    paths, people, mask = job
    with pytest.raises(iso.errors.DataError, match="90 maps make 7 blocks"):
        plan_shards(paths, people, tmp_path, shards=8, mask=mask)
    with pytest.raises(iso.errors.DataError, match="moments suffice"):
        plan_shards(paths, people, tmp_path, shards=2, mask=mask, robust=True)
    arrays = [np.ones((3, 3, 3))] * len(people)
    with pytest.raises(iso.errors.DataError, match="paths of files"):
        plan_shards(arrays, people, tmp_path, shards=2)
