"""ComBat gives the numbers of the reference implementations, to the digits they promise."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_truth import shared_folder

import isoscan as iso
from isoscan.errors import IsoscanError, IsoscanWarning

# Case -> what differs from the plain call. Splines and mixed models are other methods.
# FromTraining cases are another definition: see below.
CASES: dict[str, dict[str, object]] = {
    "nc_R_param_cov": {},
    "nc_R_param_nocov": {},
    "nc_R_volumes_cov": {},
    "nc_R_ixi_cov": {},
    "nc_R_fcon23_cov": {},
    "nc_R_missing_cov": {},
    "nc_R_offset1e6": {},
    "nc_R_tinysite": {},
    "nc_R_const_within_site": {},
    "nc_R_noeb_cov": {"prior": None},
    "nc_R_tinysite_noeb": {"prior": None},
    "nc_R_meanonly_cov": {"mean_only": True},
    "nc_R_singleton_meanonly": {"mean_only": True},
    "nc_R_ref_cov": {"reference": "NYU"},
    "nc_py_param_cov": {},
    "nc_py_offset1e6": {},
    "nc_py_noeb_cov": {"prior": None},
    "nc_py_meanonly_cov": {"mean_only": True},
    "nc_py_ref_cov": {"reference": "NYU"},
    "sva_param_cov": {},
    "sva_meanonly_cov": {"mean_only": True},
    "sva_ref_cov": {"reference": "NYU"},
    "comfam_lm_cov": {},
    "comfam_lm_interaction": {},
    "comfam_lm_ref": {"reference": "NYU"},
    "comfam_lm_robust": {"robust": True},
    "comfam_predict_known": {},
    "comfam_predict_newbatch": {},
    "nh_linear_apply": {},
    "nh_linear_ref": {"reference": "HH"},
    "nh_newsite": {},
    "dcombat_R_cov": {},
    "nc_R_nonparam_cov": {"prior": "nonparametric"},
    "nc_py_nonparam_cov": {"prior": "nonparametric"},
    "sva_nonparam_cov": {"prior": "nonparametric"},
}


class Golden:
    """One reference case: inputs, outputs and what they promise."""

    def __init__(self, name: str) -> None:
        self.folder: Path = shared_folder("golden/combat") / name
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.measures = self.table("X.csv.gz")
        self.people = pd.read_csv(
            self.folder / "covars.csv",
            index_col="row_id",
            dtype={"participant_id": str},
        )
        self.sites = self.people[self.manifest["batch"]["column"]]
        self.preserve = self._formula()

    def table(self, file: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / file, index_col=0)

    def _formula(self) -> str | None:
        given = self.manifest["extra"].get("formula")
        if given:
            return str(given).split("~")[-1].replace("I(age^2)", "I(age**2)")
        names = [item["name"] for item in self.manifest["covariates"]]
        return " + ".join(names) or None

    def tolerance(self, kind: str = "harmonized") -> float:
        return float(self.manifest["tolerance"][kind])

    def distance(self, mine: pd.DataFrame, file: str = "harmonized.csv.gz") -> float:
        """Largest difference in standard deviations of the raw feature."""
        reference = self.table(file)
        mine = mine.loc[reference.index, reference.columns]
        assert (mine.isna() == reference.isna()).all(axis=None)
        spread = self.measures.std().replace(0, 1)
        return float(((mine - reference).abs() / spread).max(axis=None))

    def harmonized(self, **options: object) -> pd.DataFrame:
        if "train" not in self.people:
            return self._fit(self.people.index, **options)[1]
        train = self.people.index[self.people.train == 1]
        rest = self.people.index[self.people.train == 0]
        model, _ = self._fit(train, **options)
        if set(self.sites[rest]) - set(model.sites_):
            model = model.adapt(
                self.measures.loc[rest], sites=self.sites[rest], covariates=self.people
            )
        return model.transform(
            self.measures.loc[rest], sites=self.sites[rest], covariates=self.people
        )

    def _fit(self, rows: pd.Index, **options: object) -> tuple[iso.ComBat, pd.DataFrame]:
        model = iso.ComBat(self.preserve, **options)
        covariates = self.people if self.preserve else None
        measures, sites = self.measures.loc[rows], self.sites[rows]
        return model, model.fit_transform(measures, sites=sites, covariates=covariates)


@pytest.fixture(autouse=True)
def _allow_our_own_warnings() -> None:
    warnings.simplefilter("ignore", IsoscanWarning)


@pytest.mark.parametrize("name", CASES)
def test_same_numbers_as_the_reference(name: str) -> None:
    golden = Golden(name)
    assert golden.manifest["target"]
    mine = golden.harmonized(**CASES[name])
    assert golden.distance(mine) <= golden.tolerance()


ITERATED = [name for name, options in CASES.items() if not {"prior", "mean_only"} & set(options)]


@pytest.mark.parametrize("name", ITERATED)
def test_fixed_point_is_where_the_reference_was_heading(name: str) -> None:
    golden = Golden(name)
    kind = "harmonized_if_EB_is_iterated_to_convergence"
    mine = golden.harmonized(convergence="full", **CASES[name])
    assert golden.distance(mine) <= golden.tolerance(kind)


@pytest.mark.parametrize(
    "name", ["nc_R_param_cov", "nc_R_fcon23_cov", "nc_R_missing_cov", "nc_R_tinysite"]
)
def test_same_estimates_as_the_reference(name: str) -> None:
    golden = Golden(name)
    model = golden._fit(golden.people.index)[0]
    effects = model.site_effects_.set_index(["site", "feature"])
    for file, column, power in (
        ("gamma_hat", "raw_shift", 1),
        ("delta_hat", "raw_scale", 2),
        ("gamma_star", "shift", 1),
        ("delta_star", "scale", 2),
    ):
        mine = effects[column].unstack() ** power
        reference = golden.table(f"{file}.csv")
        np.testing.assert_allclose(
            mine.loc[reference.index, reference.columns], reference, rtol=1e-9, atol=1e-10
        )
    priors = golden.table("priors.csv")
    np.testing.assert_allclose(model.priors_.loc[priors.index], priors, rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["nc_R_fromtraining_mod", "nc_R_fromtraining_nomod", "nc_py_fromtraining"]
)
def test_from_training_differs_exactly_by_the_mean_covariate_effect(name: str) -> None:
    """neuroCombatFromTraining centres everybody on the mean covariate effect of training.

    The same model with that centre gives its numbers; with the covariates of the new
    scans themselves (what isoscan does) the results differ, unless there are none.
    """
    golden = Golden(name)
    train, rest = (golden.people.index[golden.people.train == part] for part in (1, 0))
    model, _ = golden._fit(train)
    effects = model.site_effects_.set_index(["site", "feature"])
    shift, scale = (effects[c].unstack().loc[golden.sites[rest]] for c in ("shift", "scale"))
    design = model.preserve_design_.matrix(golden.people.loc[train], n_scans=len(train))
    centre = model.model_.intercept + design.mean(axis=0) @ model.model_.slopes
    new = golden.measures.loc[rest]
    z = (new - centre) / model.model_.sd
    columns = new.columns
    theirs = (z - shift[columns].to_numpy()) / scale[columns].to_numpy() * model.model_.sd + centre
    assert golden.distance(theirs) <= golden.tolerance()
    ours = golden.distance(golden.harmonized())
    assert (ours > 0.01) == (golden.preserve is not None)


def test_no_digits_are_lost_to_a_large_mean() -> None:
    golden = Golden("nc_R_offset1e6")
    file = "harmonized_minus_offset_accurate.csv.gz"
    mine = golden.harmonized() - golden.manifest["extra"]["shift"]
    assert golden.distance(mine, file) <= golden.tolerance("harmonized_minus_offset_accurate")


def test_singleton_site_is_refused_as_the_reference_refuses_it() -> None:
    with pytest.raises(IsoscanError, match="'C' has 1 scan"):
        Golden("nc_R_singleton_error").harmonized()


def test_constant_feature_is_named_where_the_reference_stops() -> None:
    """neuroCombat for R refuses; isoscan passes the feature through and says so."""
    golden = Golden("nc_R_constfeature_error")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mine = golden.harmonized()
    assert any("'f05'" in str(warning.message) for warning in caught)
    pd.testing.assert_series_equal(mine["f05"], golden.measures["f05"])


@pytest.mark.parametrize("name", ["sva_tinysite_const", "sva_const_within_site"])
def test_sva_leaves_features_out_that_neurocombat_keeps(name: str) -> None:
    """A feature that is constant at one site: sva passes it through, neuroCombat adjusts it.

    Without that feature both are the same; a feature constant everywhere passes through.
    """
    golden = Golden(name)
    odd = "f05" if name == "sva_tinysite_const" else "f08"
    rest = golden.measures.drop(columns=odd)
    mine = iso.ComBat(golden.preserve).fit_transform(
        rest, sites=golden.sites, covariates=golden.people
    )
    assert golden.distance(mine.assign(**{odd: golden.measures[odd]})) <= golden.tolerance()
