"""Curves, covariance and spread give the numbers of the reference implementations too."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from test_reference_implementations import Golden

import isoscan as iso
from isoscan.errors import IsoscanWarning

COVBAT = {
    "covbat_R_pv95_cov": {},
    "covbat_R_npc5_nostd": {"n_components": 5, "standardize": False},
    "covfam_lm_cov": {},
    "covfam_lm_ref": {"reference": "Guys"},
}
COMBATLS = ["combatls_ixi", "combatls_predict"]
CURVES = ["comfam_gam_default", "comfam_gam_reml", "nh_gam_age", "nh_gam_apply"]


@pytest.fixture(autouse=True)
def _allow_our_own_warnings() -> None:
    warnings.simplefilter("ignore", IsoscanWarning)


def parts(golden: Golden) -> tuple[pd.Index, pd.Index]:
    """Training scans, and those to harmonize: all, unless some were held back."""
    if "train" not in golden.people:
        return golden.people.index, golden.people.index
    return tuple(golden.people.index[golden.people.train == part] for part in (1, 0))


def harmonized(golden: Golden, model) -> pd.DataFrame:
    first, second = parts(golden)
    known = {"sites": golden.sites, "covariates": golden.people}
    return model.fit(golden.measures.loc[first], **known).transform(
        golden.measures.loc[second], **known
    )


@pytest.mark.parametrize("name", COVBAT)
@pytest.mark.parametrize("convergence", ["reference", "full"])
def test_covbat_gives_the_numbers_of_covbat_and_covfam(name, convergence) -> None:
    golden = Golden(name)
    assert golden.manifest["target"]
    model = iso.CovBat(golden.preserve, convergence=convergence, **COVBAT[name])
    full = convergence == "full"
    kind = "harmonized_if_EB_is_iterated_to_convergence" if full else "harmonized"
    assert golden.distance(harmonized(golden, model)) <= golden.tolerance(kind)


@pytest.mark.parametrize("name", COMBATLS)
def test_combatls_gives_the_numbers_of_combatls(name) -> None:
    golden = Golden(name)
    assert golden.manifest["target"]
    mine = harmonized(golden, iso.ComBatLS(golden.preserve))
    assert golden.distance(mine) <= golden.tolerance()
    if name == "combatls_predict":
        assert golden.distance(mine, "predict_numpy_expected.csv.gz") <= 1e-9


@pytest.mark.parametrize("knots", ["df=4", "knots=[{}]"])
@pytest.mark.parametrize("convergence", ["reference", "full"])
def test_an_unpenalised_natural_spline_in_the_formula_is_that_of_mgcv(knots, convergence) -> None:
    """`s(age, bs="cr", k=5, fx=TRUE)` has its three inner knots at quartiles of the ages."""
    golden = Golden("comfam_gam_cr_fixed")
    assert golden.manifest["target"]
    inner = pd.read_csv(golden.folder / "gam_knots.csv").knot[1:-1]
    spline = f"cr(age, {knots.format(', '.join(map(repr, inner)))}, constraints='center')"
    model = iso.ComBat(f"{spline} + C(sex)", convergence=convergence)
    full = convergence == "full"
    kind = "harmonized_if_EB_is_iterated_to_convergence" if full else "harmonized"
    assert golden.distance(harmonized(golden, model)) <= golden.tolerance(kind)


def expected_by(golden: Golden) -> pd.DataFrame:
    """What the reference expects of each training scan, up to a constant per feature."""
    if golden.manifest["case"].startswith("comfam"):
        return golden.table("stand_mean.csv.gz")
    design, slopes = golden.table("design.csv.gz"), golden.table("beta_hat.csv")
    columns = [column for column in design if not column.startswith("site:")]
    values = design[columns].to_numpy() @ slopes.loc[columns].to_numpy()
    return pd.DataFrame(values, design.index, slopes.columns)


@pytest.mark.parametrize("name", CURVES)
def test_given_its_curves_comfam_and_neuroharmonize_do_what_combat_does(name) -> None:
    golden = Golden(name)
    assert golden.manifest["target"]
    expected, (rows, _) = expected_by(golden), parts(golden)
    rest = golden.measures.loc[rows] - expected.loc[rows]
    after = iso.ComBat().fit_transform(rest, sites=golden.sites[rows]) + expected.loc[rows]
    file = "harmonized_train.csv.gz" if name == "nh_gam_apply" else "harmonized.csv.gz"
    assert golden.distance(after, file) <= 1e-9


@pytest.mark.parametrize(
    ("name", "options", "largest", "typical"),
    [
        ("comfam_gam_reml", {}, 0.005, 0.001),  # thin-plate basis, same criterion
        ("comfam_predict_gam", {}, 0.01, 0.002),  # and k=5
        ("comfam_gam_default", {}, 0.15, 0.02),  # another criterion, GCV
        ("nh_gam_age", {}, 0.2, 0.03),  # penalty by random folds
        ("nh_gam_apply", {"smooth_bounds": (15, 90)}, 0.2, 0.03),
    ],
)
def test_other_smoothers_end_nearby(name, options, largest, typical) -> None:
    golden = Golden(name)
    mine = harmonized(golden, iso.ComBat("C(sex)", smooth=["age"], **options))
    assert golden.distance(mine) <= largest
    gap = (mine - golden.table("harmonized.csv.gz")[mine.columns]) / golden.measures.std()
    assert np.sqrt((gap**2).mean(axis=None)) <= typical
