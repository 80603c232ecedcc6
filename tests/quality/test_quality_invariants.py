"""The same head gives the same metrics, however its axes run and whatever its unit is."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_heads import simulate_head

from isoscan.quality import METRICS, QualityInputs, image_quality
from isoscan.quality.definitions import get_definition
from isoscan.quality.metrics import measure
from isoscan.quality.prepare import prepare_inputs

HEAD = simulate_head(1)
AXES = st.permutations([0, 1, 2])
SIGNS = st.tuples(*[st.sampled_from([1, -1])] * 3)


@pytest.fixture(scope="module")
def upright():
    return image_quality(HEAD.t1, **HEAD.given(), register=False)


def turn(image, axes, signs):
    orientation = np.array([[axis, sign] for axis, sign in zip(axes, signs, strict=True)])
    return image.as_reoriented(orientation)


@settings(max_examples=6)
@given(axes=AXES, signs=SIGNS)
def test_axes_may_run_anyhow(upright, axes, signs):
    def turned(image):
        return turn(image, axes, signs)

    found = image_quality(
        turned(HEAD.t1),
        posteriors=[turned(one) for one in HEAD.tissues],
        brain_mask=turned(HEAD.brain),
        bias=np.asarray(turned(HEAD.bias).dataobj),  # arrays lie as the image does
        register=False,
    )
    np.testing.assert_allclose(found[[*METRICS]], upright[[*METRICS]], rtol=1e-6)


@settings(max_examples=4)
@given(factor=st.floats(1e-3, 1e3))
def test_the_unit_of_intensities_does_not_matter(upright, factor):
    scaled = nib.Nifti1Image(HEAD.t1.get_fdata() * factor, HEAD.t1.affine)
    found = image_quality(scaled, **HEAD.given(), register=False)
    np.testing.assert_allclose(found[[*METRICS]], upright[[*METRICS]], rtol=1e-3)


@pytest.mark.parametrize("definition", ["corrected", "mriqc-24", "mriqc-0.15"])
def test_inputs_are_not_changed(definition):
    chosen = get_definition(definition)
    inputs = prepare_inputs(HEAD.t1, HEAD.given(), chosen, register=False).inputs
    arrays = {name: value for name, value in vars(inputs).items() if isinstance(value, np.ndarray)}
    before = {name: value.copy() for name, value in arrays.items()}
    first = measure(inputs, chosen)
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_equal(measure(QualityInputs(**arrays_of(inputs)), chosen), first)


def arrays_of(inputs):
    return {name: getattr(inputs, name) for name in inputs.__dataclass_fields__}


@pytest.mark.parametrize("noise", [10.0, 40.0])
def test_noise_is_measured(noise):
    head = simulate_head(2, noise=noise)
    found = image_quality(head.t1, **head.given(), register=False)
    rayleigh = noise * np.sqrt(2 - np.pi / 2)  # where there is no signal; white matter is 1000
    assert found["summary_bg_stdv"] == pytest.approx(rayleigh, rel=0.1)


def test_ghosts_are_measured_in_the_corrected_definition_only():
    head = simulate_head(3, ghost=250.0)
    found = {
        name: image_quality(head.t1, **head.given(head=head.head), definition=name, register=False)
        for name in ("corrected", "mriqc-24", "mriqc-0.15")
    }
    assert found["mriqc-24"]["qi_1"] == 0
    assert 0 < found["corrected"]["qi_1"] < 0.05
    assert found["mriqc-0.15"]["qi_1"] > 0
    assert found["corrected"]["qi_2"] < found["mriqc-24"]["qi_2"]


def test_purity_does_not_measure_the_field_of_view():
    inputs = prepare_inputs(
        HEAD.t1, HEAD.given(), get_definition("corrected"), register=False
    ).inputs
    small, large = (measure(inputs, name)["rpve_gm"] for name in ("corrected", "mriqc-24"))
    assert 0.5 <= small <= 1 < large
