"""Three tissues and a smooth field are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from isoscan.anatomy.tissue import segment_tissues
from isoscan.errors import NoBrainError

SHAPE = (40, 44, 36)


def folded(seed=0, sd=0.05, bias=0.0):
    """Bands of three intensities, with noise, multiplied by a slope."""
    random = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(random.normal(size=SHAPE), 3)
    labels = np.digitize(field, np.quantile(field, (0.25, 0.65)))
    values = np.array([0.35, 0.7, 1.0])[labels] + random.normal(scale=sd, size=SHAPE)
    slope = np.exp(bias * np.linspace(-1, 1, SHAPE[1]))[None, :, None]
    brain = np.zeros(SHAPE, bool)
    brain[3:-3, 3:-3, 3:-3] = True
    return 100 * values * slope, labels, brain


def share_correct(values, labels, brain, sizes=(1, 1, 1)):
    posteriors = segment_tissues(values, brain, sizes)
    return np.mean(posteriors.argmax(axis=0)[brain] == labels[brain])


def test_tissues_are_found_in_noise():
    assert share_correct(*folded(sd=0.08)) > 0.96


def test_neighbours_help_where_noise_is_strong():
    values, labels, brain = folded(sd=0.15)
    nearest = np.digitize(values / 100, (0.525, 0.85))
    alone = np.mean(nearest[brain] == labels[brain])
    assert share_correct(values, labels, brain) > alone + 0.03


def test_smooth_field_does_not_mislead():
    values, labels, brain = folded(bias=0.15)
    assert share_correct(values, labels, brain, sizes=(4, 4, 4)) > 0.97


def test_order_of_tissues_is_dark_to_bright():
    values, _, brain = folded()
    posteriors = segment_tissues(values, brain, (2, 2, 2))
    means = [np.average(values[brain], weights=p[brain]) for p in posteriors]
    assert means == sorted(means)


def test_unit_of_intensities_does_not_matter():
    values, _, brain = folded()
    one = segment_tissues(values, brain, (2, 2, 2))
    other = segment_tissues(values * 1e-6, brain, (2, 2, 2))
    assert np.allclose(one, other, atol=1e-2)


def test_rare_tissue_is_not_lost():
    values, labels, brain = folded(sd=0.03)
    rare = labels.copy()
    rare[(labels == 0) & (np.arange(SHAPE[0])[:, None, None] > 8)] = 1
    values = np.where(rare != labels, 70.0 + (values - 35), values)
    posteriors = segment_tissues(values, brain, (2, 2, 2))
    csf = (posteriors.argmax(axis=0) == 0) & brain
    assert np.mean(rare[csf] == 0) > 0.9 and csf.sum() > 0.8 * ((rare == 0) & brain).sum()


@pytest.mark.parametrize("values", [np.full(SHAPE, 3.0), np.zeros(SHAPE), -np.ones(SHAPE)])
def test_one_intensity_is_no_brain(values):
    _, _, brain = folded()
    with pytest.raises(NoBrainError):
        segment_tissues(values, brain, (1, 1, 1))
