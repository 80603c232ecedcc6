"""Densities and fits that are computed in another way are the same numbers."""

import numpy as np
import pytest
from scipy import stats

from isoscan.quality.density import fit_chi_squared, smooth_density

SAMPLES = {
    "magnitude noise": lambda random: random.rayleigh(20, 4000),
    "whole numbers": lambda random: np.round(random.rayleigh(4, 4000)),
    "many zeros": lambda random: np.where(random.random(4000) < 0.4, 0, random.rayleigh(20, 4000)),
    "long tail": lambda random: random.rayleigh(20, 4000) ** 1.6,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_density_equals_the_sum_of_kernels(name):
    values = SAMPLES[name](np.random.default_rng(3))
    grid = np.linspace(0, 110, 1000)
    kernels = np.exp(-0.5 * ((grid[:, None] - values[None]) / 4) ** 2)
    direct = kernels.sum(axis=1) / (len(values) * 4 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(smooth_density(values, grid, 4.0), direct, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_fit_equals_that_of_scipy(name):
    values = SAMPLES[name](np.random.default_rng(4))
    np.testing.assert_allclose(fit_chi_squared(values, 32), stats.chi2.fit(values, 32), rtol=1e-6)
