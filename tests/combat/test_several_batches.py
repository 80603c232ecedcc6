"""Several batch variables: one regression finds them all, and each is removed."""

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.combat.batches import Batches, Cells
from isoscan.combat.effects import Shrinkage
from isoscan.combat.joint import fit_jointly, shrink_in_turn
from isoscan.combat.moments import Scans, collect
from isoscan.errors import (
    ConfoundingWarning,
    DataError,
    MissingValuesWarning,
    SiteLabelError,
    TooFewScansError,
    TooFewSitesError,
    UnknownSiteError,
)
from isoscan.phantom import simulate_tables

COILS = {"8": (-0.8, 0.8), "32": (0.0, 1.0), "64": (1.0, 1.4)}


@pytest.fixture(scope="module")
def cohort():
    """A simulated cohort whose head coils shift and scale the measures too."""
    plain = simulate_tables(15, (70, 60, 50), random_state=3)
    rng = np.random.default_rng(0)
    people = plain.people.assign(coil=rng.choice(list(COILS), len(plain.people)))
    shift, scale = (people.coil.map({k: v[part] for k, v in COILS.items()}) for part in (0, 1))
    noise = plain.measures - plain.measures.groupby(people.site).transform("mean")
    spread = plain.measures.std().to_numpy()
    pattern = np.linspace(0.5, 1.5, plain.measures.shape[1])
    measures = (
        plain.measures
        + (scale.to_numpy()[:, None] - 1) * noise
        + shift.to_numpy()[:, None] * spread * pattern
    )
    return people, measures, plain.clean


def fit_transform(cohort, sites, **options):
    people, measures, _ = cohort
    model = iso.ComBat("age + C(sex)", **options)
    return model, model.fit_transform(measures, sites=people[sites], covariates=people)


def gap(table, clean, labels):
    means = (table - clean).groupby(labels).mean()
    return float(((means - means.mean()).abs() / clean.std()).mean(axis=None))


def test_effects_of_both_variables_are_gone(cohort):
    people, measures, clean = cohort
    _, after = fit_transform(cohort, ["site", "coil"])
    for name in ("site", "coil"):
        assert gap(after, clean, people[name]) < 0.3 * gap(measures, clean, people[name])
    _, of_site_only = fit_transform(cohort, "site")
    assert gap(of_site_only, clean, people.coil) > 5 * gap(after, clean, people.coil)


def test_scales_of_both_variables_are_found(cohort):
    model, _ = fit_transform(cohort, ["site", "coil"])
    scale = model.site_effects_.groupby("site").scale.mean()
    assert scale["coil: 64"] / scale["coil: 8"] == pytest.approx(1.4 / 0.8, rel=0.1)
    assert model.site_effects_.site.unique().tolist() == model.sites_
    assert model.scans_per_site_["coil: 8"] == (cohort[0].coil == "8").sum()


def test_with_one_variable_it_is_combat(cohort):
    people, measures, _ = cohort
    table = measures.to_numpy()
    names = sorted(set(people.site))
    codes = np.searchsorted(names, people.site)
    covariates = people[["age"]].to_numpy()
    scans = Scans.group(codes, 3, covariates)
    batches = Batches({"site": names})
    cells = Cells(codes, np.eye(3, dtype=bool))
    fit = fit_jointly(
        lambda block: collect(table[:, block], scans),
        scans.per_site,
        cells,
        batches,
        table.shape[1],
        tolerance=1e-10,
    )
    effects = shrink_in_turn(fit, cells, batches, Shrinkage(), mean_only=False)
    plain = iso.ComBat("age").fit(measures, sites=people.site, covariates=people).model_
    np.testing.assert_allclose(fit.intercept, plain.intercept, rtol=1e-10)
    np.testing.assert_allclose(fit.sd, plain.sd, rtol=1e-10)
    np.testing.assert_allclose(effects.shift, plain.effects.shift, atol=1e-10)
    np.testing.assert_allclose(effects.variance, plain.effects.variance, rtol=1e-9)


def test_joint_regression_is_that_of_all_columns_at_once(cohort):
    people, measures, _ = cohort
    model, _ = fit_transform(cohort, ["site", "coil"], prior=None)
    dummies = pd.get_dummies(people[["site", "coil", "sex"]], drop_first=True).astype(float)
    design = np.column_stack([np.ones(len(people)), dummies, people.age])
    slopes = np.linalg.lstsq(design, measures.to_numpy(), rcond=None)[0]
    np.testing.assert_allclose(model.model_.slopes[0], slopes[-1], rtol=1e-8)
    fitted = design @ slopes
    sd = np.sqrt(((measures.to_numpy() - fitted) ** 2).mean(axis=0))
    np.testing.assert_allclose(model.model_.sd, sd, rtol=1e-10)


def test_alone_in_bulk_loaded_and_in_any_column_order_the_same_bits(cohort, tmp_path):
    people, measures, _ = cohort
    model, after = fit_transform(cohort, ["site", "coil"])
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    one = loaded.transform(measures.iloc[[7]], sites=people[["coil", "site"]], covariates=people)
    pd.testing.assert_frame_equal(one, after.iloc[[7]], check_exact=True)


def test_a_combination_that_training_did_not_have_is_corrected(cohort):
    people, measures, clean = cohort
    rare = (people.site == "SITE03") & (people.coil == "64")
    model = iso.ComBat("age + C(sex)").fit(
        measures[~rare], sites=people.loc[~rare, ["site", "coil"]], covariates=people
    )
    after = model.transform(measures[rare], sites=people[["site", "coil"]], covariates=people)
    before = (measures[rare] - clean[rare]).mean().abs() / clean.std()
    left = (after - clean[rare]).mean().abs() / clean.std()
    assert left.mean() < 0.35 * before.mean()


def test_missing_values_stay_missing_and_move_little(cohort):
    people, measures, clean = cohort
    holed = measures.copy()
    holed.iloc[3, 2] = np.nan
    with pytest.warns(MissingValuesWarning):
        _, after = fit_transform((people, holed, clean), ["site", "coil"])
    _, complete = fit_transform(cohort, ["site", "coil"])
    pd.testing.assert_frame_equal(after.isna(), holed.isna())
    assert ((after - complete).abs() / measures.std()).max(axis=None) < 0.02


def test_nested_variables_are_named_and_removed_all_the_same(cohort):
    people, measures, clean = cohort
    people = people.assign(country=people.site.map({"SITE01": "N", "SITE02": "N", "SITE03": "S"}))
    with pytest.warns(ConfoundingWarning, match="'country' is nested in or determined by 'site'"):
        _, nested = fit_transform((people, measures, clean), ["site", "country"], prior=None)
    assert gap(nested, clean, people.site) < 0.3 * gap(measures, clean, people.site)


@pytest.mark.parametrize(
    ("change", "options", "error", "sentence"),
    [
        ({"coil": "8"}, {}, TooFewSitesError, "'coil' has the same level for all 180 scans"),
        ({}, {"reference": "SITE01"}, DataError, "reference='SITE01' is for one batch variable"),
        ({}, {"robust": True}, DataError, "robust=True is for one batch variable"),
        ({}, {"smooth": ["age"], "preserve": None}, DataError, "smooth is for one batch"),
    ],
)
def test_what_is_not_defined_is_refused(cohort, change, options, error, sentence):
    people, measures, _ = cohort
    with pytest.raises(error, match=sentence):
        iso.ComBat(**options).fit(
            measures, sites=people.assign(**change)[["site", "coil"]], covariates=people
        )


def test_a_level_of_one_scan_is_refused_by_name(cohort):
    people, measures, _ = cohort
    coil = people.coil.where(people.index != people.index[0], "48")
    with pytest.raises(TooFewScansError, match="site 'coil: 48' has 1 scan"):
        iso.ComBat().fit(measures, sites=people.assign(coil=coil)[["site", "coil"]])


def test_unknown_levels_and_absent_variables_are_named(cohort):
    people, measures, _ = cohort
    model, _ = fit_transform(cohort, ["site", "coil"])
    with pytest.raises(UnknownSiteError, match="1 of 180 scans"):
        coil = people.coil.where(people.index != people.index[0], "48")
        model.transform(
            measures, sites=people.assign(coil=coil)[["site", "coil"]], covariates=people
        )
    with pytest.raises(SiteLabelError, match="'coil' not found"):
        model.transform(measures, sites=people[["site", "sex"]], covariates=people)
    with pytest.raises(SiteLabelError, match="2 batch variables"):
        model.transform(measures, sites=people.site, covariates=people)


def test_other_methods_refuse_several_variables_in_words(cohort):
    people, measures, _ = cohort
    with pytest.raises(SiteLabelError, match="Several batch variables"):
        iso.CovBat().fit(measures, sites=people[["site", "coil"]])
