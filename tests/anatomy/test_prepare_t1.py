"""Brain, bias field and tissues of a head whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_head import dice, synthetic_head

pytest.importorskip("nilearn")
pytest.importorskip("SimpleITK")

from isoscan.anatomy import prepare_t1


@pytest.fixture(scope="module")
def head():
    return synthetic_head()


@pytest.fixture(scope="module")
def rough(head):
    return prepare_t1(head.image, register=False)


def test_rough_brain_is_the_brain(head, rough):
    assert dice(rough.brain, head.brain) > 0.94


def test_bias_field_is_found(head, rough):
    found = np.log(rough.bias[head.brain])
    assert np.corrcoef(found, head.log_bias[head.brain])[0, 1] > 0.9
    assert np.allclose(rough.corrected * rough.bias, rough.image.get_fdata(), rtol=1e-4, atol=1e-2)


def test_tissues_are_those_of_the_truth(head, rough):
    found = [dice(a > 0.5, b > 0.5) for a, b in zip(rough.tissues, head.tissues, strict=True)]
    assert min(found[1:]) > 0.9 and found[0] > 0.4


def test_posteriors_sum_to_one_in_the_brain_and_to_nothing_outside(rough):
    sums = rough.tissues.sum(axis=0)
    assert np.allclose(sums[rough.brain], 1, atol=1e-5)
    assert not sums[~rough.brain].any()
