"""Effect sizes are those of ENIGMA's scripts and of metafor 5.1."""

from __future__ import annotations

import numpy as np
import pytest
from reference_effects import assert_near, reference

from isoscan.pooling import effect_sizes as sizes


@pytest.mark.parametrize("case", range(4))
def test_d_and_g_are_those_of_enigma_and_metafor(case) -> None:
    golden = reference("g01_effect_sizes.json")["cases"][case]
    t, n1, n2, df = (golden["input"][name] for name in ("t", "n1", "n2", "df"))
    plain, adjusted = sizes.cohens_d(t, n1, n2), sizes.cohens_d(t, n1, n2, df)
    g = sizes.hedges_g(plain, n1, n2)
    se = sizes.cohens_d_se(adjusted, n1, n2)
    mine = {
        "d_unpaired": plain,
        "d_partial_enigma": adjusted,
        "se_enigma_dpartial": se,
        "se_enigma_dunpaired": sizes.cohens_d_se(plain, n1, n2),
        "ci95_enigma": [adjusted - 1.96 * se, adjusted + 1.96 * se],
        "J_exact": sizes.small_sample_factor(n1 + n2 - 2),
        "J_approx": sizes.small_sample_factor(n1 + n2 - 2, exact=False),
        "g_exact": g,
        "g_approx": sizes.hedges_g(plain, n1, n2, exact=False),
    }
    for name, value in mine.items():
        assert_near(value, golden[name], 1e-10)
    large, unbiased = golden["metafor_SMD_LS"], golden["metafor_SMD_UB"]
    assert_near(sizes.hedges_g_se(g, n1, n2) ** 2, large["vi"], 1e-10)
    assert_near(sizes.hedges_g_se(g, n1, n2, unbiased=True) ** 2, unbiased["vi"], 1e-10)


def test_partial_correlation_counts_predictors_as_metafor_5_does() -> None:
    golden = reference("g01_effect_sizes.json")["partial"]
    given = golden["input"]
    df = given["n"] - given["m_predictors"] - 1
    r = sizes.partial_correlation(given["t"], df)
    assert_near(r, golden["PCOR"]["yi"], 1e-10)
    assert_near(sizes.partial_correlation_se(r, df) ** 2, golden["PCOR"]["vi"], 1e-10)
    assert_near(sizes.fisher_z(r), golden["ZPCOR"]["yi"], 1e-10)
    assert_near(sizes.fisher_z_se(df) ** 2, golden["ZPCOR"]["vi"], 1e-10)


def test_plain_correlation_is_a_partial_one_with_one_predictor() -> None:
    golden = reference("g01_effect_sizes.json")["corr"]
    r, df = golden["input"]["r"], golden["input"]["n"] - 2
    assert_near(sizes.partial_correlation_se(r, df) ** 2, golden["COR"]["vi"], 1e-10)
    assert_near(sizes.fisher_z_se(df) ** 2, golden["ZCOR"]["vi"], 1e-10)


def test_missing_t_gives_missing_effect() -> None:
    found = sizes.cohens_d(np.array([2.0, np.nan]), 10, 12, 18)
    assert np.isfinite(found[0])
    assert np.isnan(found[1])
