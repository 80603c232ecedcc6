"""Meta-regression gives the numbers of metafor 5.1 and refuses what cannot be told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_effects import assert_near, method_of, our_test, reference

import isoscan as iso
from isoscan.errors import (
    ConfoundedDesignError,
    PrecisionWarning,
    TooFewSitesError,
    UnmatchedRowsError,
)

CASES = [
    ("enigma", "mods1", "fits1"),
    ("enigma", "mods2", "fits2"),
    ("bcg_ablat_year", "mods", "fits"),
]
SLOPES = {
    "effect": "beta",
    "se": "se",
    "low": "ci_lb",
    "high": "ci_ub",
    "p": "p",
    "statistic": "stat",
}
SUMMARY = {"QM": "QM", "QM_p": "QMp", "tau2": "tau2", "tau2_se": "se_tau2", "R2": "R2"} | {
    "Q": "QE",
    "Q_p": "QEp",
    "I2": "I2",
    "H2": "H2",
}


@pytest.mark.filterwarnings("ignore::isoscan.errors.PrecisionWarning")
@pytest.mark.parametrize(("name", "mods", "fits"), CASES)
def test_slopes_are_those_of_metafor(name, mods, fits) -> None:
    case = reference("g05_metaregression.json")[name]
    sites = [f"site {number}" for number in range(len(case["yi"]))]
    effects, se = pd.Series(case["yi"], sites), pd.Series(np.sqrt(case["vi"]), sites)
    moderators = pd.DataFrame(case[mods], sites).add_prefix("moderator")
    for fit in case[fits]:
        mine = iso.meta_regression(
            effects, se, moderators=moderators[::-1], method=method_of(fit), test=our_test(fit)
        )
        for ours, theirs in SLOPES.items():
            assert_near(mine.table[ours], fit[theirs], 1e-6)
        for ours, theirs in SUMMARY.items():
            if fit[theirs] is not None:
                assert_near(mine.summary[ours][0], fit[theirs], 1e-6)


def scanners(n_sites=24, seed=0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    sites = [f"site {number}" for number in range(n_sites)]
    moderators = pd.DataFrame(
        {
            "tesla": rng.choice([1.5, 3.0], n_sites),
            "vendor": rng.choice(["GE", "Siemens"], n_sites),
        },
        sites,
    )
    se = pd.DataFrame(rng.uniform(0.1, 0.3, (n_sites, 2)), sites, ["insula", "pole"])
    shift = 0.4 * (moderators.tesla.to_numpy() == 3)[:, None]
    return shift + se * rng.normal(size=se.shape), se, moderators


def test_field_strength_that_matters_is_found() -> None:
    effects, se, moderators = scanners()
    found = iso.meta_regression(effects, se, moderators=moderators)
    slopes = found.table.set_index(["feature", "term"])
    assert slopes.loc[("insula", "tesla"), "p"] < 0.01
    assert slopes.loc[("insula", "vendor[T.Siemens]"), "p"] > 0.01
    assert found.summary.k.tolist() == [24, 24]


def test_feature_at_few_sites_is_not_regressed_and_named() -> None:
    effects, se, moderators = scanners()
    effects.loc[effects.index[4:], "pole"] = np.nan
    found = iso.meta_regression(effects, se, moderators=moderators)
    assert found.notes.to_dict("records") == [
        {"feature": "pole", "note": "4 sites for 3 terms; it takes 5"}
    ]
    assert found.summary.set_index("feature").loc["pole", "QM":].isna().all()
    with pytest.raises(TooFewSitesError, match="no feature can be regressed"):
        iso.meta_regression(effects[["pole"]], se[["pole"]], moderators=moderators)


def test_feature_whose_sites_share_the_moderator_is_named() -> None:
    effects, se, moderators = scanners()
    effects.loc[moderators.tesla == 3, "pole"] = np.nan
    found = iso.meta_regression(effects, se, moderators=moderators)
    assert "cannot be told apart" in found.notes.note[0]


def test_collinear_moderators_are_refused_by_name() -> None:
    effects, se, moderators = scanners()
    moderators["year"] = 2000 + 10 * moderators.tesla
    with pytest.raises(ConfoundedDesignError, match=r"'(year|tesla)' is determined by the other"):
        iso.meta_regression(effects, se, moderators=moderators)


def test_few_sites_per_moderator_are_warned_of() -> None:
    effects, se, moderators = scanners(12)
    with pytest.warns(PrecisionWarning, match="12 sites for 2 moderators"):
        iso.meta_regression(effects, se, moderators=moderators)


def test_site_without_moderators_is_named() -> None:
    effects, se, moderators = scanners()
    with pytest.raises(UnmatchedRowsError, match="1 site without moderators: 'site 3'"):
        iso.meta_regression(effects, se, moderators=moderators.drop(index="site 3"))
