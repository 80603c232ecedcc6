"""What does not agree: reference -> (case, what, how it is measured)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from cases import Case, Run

import isoscan as iso
from isoscan.errors import IsoscanError

PLAIN = Run("")
CURVE = Run("", options={"smooth": ["age"]}, preserve="C(sex)")
BOUNDED = Run("", options={"smooth": ["age"], "smooth_bounds": (15, 90)}, preserve="C(sex)")


def plain_distance(case: Case) -> str:
    """Largest difference of a plain run."""
    return f"{case.distance(case.harmonized(PLAIN)):.1e}"


def accurate(case: Case) -> str:
    """How much of the reference is missing, and the distance from what it should be."""
    mine = case.harmonized(Run("", options={"prior": "nonparametric"}))
    lost = case.table("harmonized.csv.gz").isna().mean(axis=None)
    apart = case.distance(mine, "harmonized_accurate.csv.gz")
    return f"{lost:.0%} of the reference are NaN; {apart:.1e} from its equations in log space"


def constant_passes(case: Case) -> str:
    """Name what comes back as it was."""
    mine = case.harmonized(PLAIN)
    same = [name for name in mine if mine[name].equals(case.measures[name])]
    return f"passed through unchanged: {', '.join(same)}"


def is_refused(case: Case) -> str:
    """Say how it is refused."""
    try:
        case.harmonized(PLAIN)
    except IsoscanError as error:
        return f"{type(error).__name__}: {str(error).split(';')[0]}"
    return "not refused"


def by_feature(case: Case) -> str:
    """Compare the odd feature, then the others after a fit without it."""
    odd = case.manifest["independent_numpy_check"]["note"].split(": ")[1].split(", ")
    mine, reference = case.harmonized(PLAIN), case.table("harmonized.csv.gz")
    apart = ((mine - reference)[odd].abs() / case.measures[odd].std()).max(axis=None)
    rest = case.measures.drop(columns=odd)
    others = iso.ComBat(case.formula).fit_transform(rest, sites=case.sites, covariates=case.people)
    without = case.distance(others.join(case.measures[odd]))
    return f"{', '.join(odd)}: {apart:.1e}; the others, fitted without it: {without:.1e}"


def quirks(case: Case) -> str:
    """Tell new scans of the reference site from those of other sites, with and without prior."""
    theirs, label = case.table("harmonized.csv.gz"), "HH"
    is_reference = case.sites[theirs.index] == label
    parts = []
    for prior in ("parametric", None):
        mine = case.harmonized(PLAIN, reference=label, prior=prior)
        away = (mine - theirs[mine.columns]).abs() / case.measures.std()
        parts.append(
            f"prior={prior!r}: {away[is_reference].max(axis=None):.1e} at the reference site, "
            f"{away[~is_reference].max(axis=None):.1e} elsewhere"
        )
    return "; ".join(parts)


def curve_of_comfam(case: Case) -> str:
    """Another smoother, then ComBat with the reference's own curves."""
    return _curves_apart(case, CURVE, case.table("stand_mean.csv.gz"))


def curve_of_neuroharmonize(case: Case) -> str:
    """Likewise; what is expected follows from design and coefficients."""
    design, slopes = case.table("design.csv.gz"), case.table("beta_hat.csv")
    columns = slopes.index[~slopes.index.str.startswith("site:")]
    expected = pd.DataFrame(
        design[columns].to_numpy() @ slopes.loc[columns].to_numpy(), design.index, slopes.columns
    )
    return _curves_apart(case, BOUNDED if "bounds" in case.manifest["extra"] else CURVE, expected)


def _curves_apart(case: Case, run: Run, expected: pd.DataFrame) -> str:
    away = case.distances(case.harmonized(run))
    squares = float(np.sqrt((away**2).mean(axis=None)))
    found = f"{away.max(axis=None):.1e} (root mean square {squares:.1e})"
    if set(expected.index) != set(case.training):
        return found
    file = "harmonized_train.csv.gz" if len(case.rest) else "harmonized.csv.gz"
    given = case.distance(case.given_expected(expected), file)
    return f"{found}; ComBat with its own curves {given:.1e}"


def covbat_python(case: Case) -> str:
    """Distance of both steps."""
    both = (iso.ComBat, "combat_step.csv.gz"), (iso.CovBat, "harmonized.csv.gz")
    found = [case.distance(case.harmonized(Run("", method)), file) for method, file in both]
    return f"ComBat step {found[0]:.1e}, result {found[1]:.1e}"


def forgotten_spread(case: Case) -> str:
    """How far `predict` goes astray when the formula of the spread is not given again."""
    mine = case.harmonized(Run("", iso.ComBatLS))
    return f"{case.distance(mine, 'predict_without_sigma_formula_DEFECT.csv.gz'):.1e}"


DIFFERS: dict[str, list[tuple[str, str, Callable[[Case], str]]]] = {
    "neurocombat-r": [
        ("nc_R_nonparam_bigsite", "non-parametric prior, a site of 640 scans", accurate),
        ("nc_R_fromtraining_mod", "FromTraining after covariates", plain_distance),
        ("nc_R_constfeature_error", "feature constant everywhere: R stops", constant_passes),
        ("nc_R_singleton_error", "site of one scan: both refuse", is_refused),
    ],
    "neurocombat-python": [
        ("nc_py_fromtraining", "FromTraining after covariates", plain_distance),
        ("nc_py_offset1e6_dataframe", "measures given as a DataFrame", plain_distance),
    ],
    "sva": [
        ("sva_const_within_site", "feature constant at one site", by_feature),
    ],
    "combatfamily": [
        ("comfam_gam_reml", '`s(age)`, `method="REML"`', curve_of_comfam),
        ("comfam_predict_gam", "`s(age, k=5)`, REML, then `predict`", curve_of_comfam),
        ("comfam_gam_default", "`s(age)`, mgcv's default GCV.Cp", curve_of_comfam),
        ("combatls_predict", "`predict` without `sigma.formula`", forgotten_spread),
        ("comfam_predict_quirks", "`predict(eb=FALSE)`, reference site", quirks),
    ],
    "covbat-r": [
        ("covbat_py_cov", "CovBat for Python, same repository", covbat_python),
    ],
    "neuroharmonize": [
        ("nh_gam_age", "`smooth_terms`", curve_of_neuroharmonize),
        ("nh_gam_apply", "`smooth_terms`, bounds, then new scans", curve_of_neuroharmonize),
    ],
}
