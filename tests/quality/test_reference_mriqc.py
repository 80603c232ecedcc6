"""On the same masks, the metrics are those of MRIQC 24.0.2 and 0.15.1."""

import numpy as np
import pytest
from reference_volumes import expected, golden, mni_brain, phantom, volumes

from isoscan.quality.air import find_artifacts, find_frame
from isoscan.quality.definitions import DEFINITIONS, METRICS
from isoscan.quality.head import close_edges, find_changes
from isoscan.quality.intensity import scale_to_white
from isoscan.quality.metrics import measure

CASES = {"phantom_A": "A", "phantom_B": "B"}
NEW, CORRECTED = DEFINITIONS["mriqc-24"], DEFINITIONS["corrected"]


def compare(found, wanted, zooms=None):
    worst = {}
    for name, value in wanted.items():
        if name.startswith("fwhm") and zooms is not None:
            continue
        difference = abs(found[name] - value) / max(abs(value), 1e-12)
        if np.isnan(value) and np.isnan(found[name]):
            difference = 0.0
        if not difference <= (1e-6 if name == "qi_2" else 1e-9):
            worst[name] = (found[name], value)
    assert not worst


@pytest.mark.parametrize("definition", ["mriqc-24", "mriqc-0.15"])
@pytest.mark.parametrize("case", CASES)
def test_metrics_of_phantoms_are_those_of_mriqc(case, definition):
    wanted = expected(case, definition)
    found = measure(phantom(CASES[case]), definition)
    compare(found, wanted, zooms=volumes(CASES[case])["zooms"])
    assert set(found) == set(METRICS) and len(METRICS) == 68
    if definition == "mriqc-24":
        assert set(wanted) == set(METRICS)


@pytest.mark.parametrize("case", CASES)
def test_widths_in_millimetres_follow_afni(case):
    found = measure(phantom(CASES[case]), "corrected")
    zooms = volumes(CASES[case])["zooms"]
    widths = [found[f"fwhm_{axis}"] * mm for axis, mm in zip("xyz", zooms, strict=True)]
    wanted = golden()[case]["functions"]["fwhm_mm_rederived_not_afni"]
    np.testing.assert_allclose(widths, wanted, rtol=1e-9)


@pytest.mark.parametrize("definition", ["mriqc-24", "mriqc-0.15"])
def test_metrics_of_a_stripped_brain_are_those_of_mriqc(definition):
    compare(measure(mni_brain(), definition), expected("mni152_nilearn", definition))


@pytest.mark.parametrize("case", CASES)
def test_noise_fit_without_artifacts_is_that_of_the_documented_mask(case):
    wanted = golden()[case]["functions"]["qi_2"]["air (what the docstring says)"]
    assert measure(phantom(CASES[case]), CORRECTED)["qi_2"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_edges_and_head_of_mriqc_are_found_with_its_two_slices(case):
    inputs = phantom(CASES[case])
    changes = find_changes(inputs.raw, inputs.brain, inputs.zooms, NEW)
    wanted = golden()[case]["image_gradient"]
    assert changes.mean(dtype=float) == pytest.approx(wanted["mean"], rel=1e-6)
    assert np.percentile(changes, 50) == pytest.approx(wanted["p50"], rel=1e-6)
    head = close_edges(changes > 15, inputs.brain, inputs.zooms, NEW)
    assert head.sum() == golden()[case]["gradient_threshold_24.0.2"]["n"]
    assert head[:2].all()
    corrected = close_edges(changes > 15, inputs.brain, inputs.zooms, CORRECTED)
    assert not corrected[0].all() and corrected[inputs.brain].all()


@pytest.mark.parametrize("case", CASES)
def test_frame_of_a_rotated_image_is_that_of_mriqc(case):
    assert find_frame(phantom(CASES[case]).raw).sum() == golden()[case]["RotationMask_n"]


@pytest.mark.parametrize("case", CASES)
def test_artifacts_are_found_where_mriqc_loses_them(case):
    inputs = phantom(CASES[case])
    functions = golden()[case]["functions"]
    for definition, name in ((CORRECTED, "correct"), (NEW, "24.0.2")):
        found = find_artifacts(inputs.raw, inputs.head, inputs.hat, definition)
        assert found.sum() == functions[f"artifact_mask_n_with_{name}_distance"]


@pytest.mark.parametrize("case", CASES)
def test_white_matter_is_scaled_as_by_mriqc(case):
    inputs = phantom(CASES[case])
    scaled = scale_to_white(inputs.corrected, inputs.tissues[2], NEW)
    factor = np.median(scaled[inputs.brain]) / np.median(inputs.corrected[inputs.brain])
    assert factor == pytest.approx(golden()[case]["Harmonize_factor"], rel=1e-6)
