"""What every method of the family promises, whatever it estimates."""

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import DataError, MissingValuesError
from isoscan.phantom import simulate_tables

METHODS = {
    "nonparametric": lambda **more: iso.ComBat("age", prior="nonparametric", **more),
    "robust": lambda **more: iso.ComBat("age", robust=True, **more),
    "splines": lambda **more: iso.ComBat(smooth=["age"], **more),
    "CovBat": lambda **more: iso.CovBat("age", n_components=4, **more),
    "ComBatLS": lambda **more: iso.ComBatLS("age", **more),
}


@pytest.fixture(scope="module")
def cohort():
    return simulate_tables(10, (50, 40, 30), random_state=8)


@pytest.fixture(params=METHODS)
def make(request):
    return METHODS[request.param]


def fit_transform(model, cohort, measures=None):
    X = cohort.measures if measures is None else measures
    return model.fit_transform(X, sites=cohort.people.site, covariates=cohort.people)


def transform(model, cohort, measures):
    return model.transform(measures, sites=cohort.people.site, covariates=cohort.people)


def test_scans_alone_or_in_bulk_in_any_order_get_the_same_bits(make, cohort):
    model = make()
    harmonized = fit_transform(model, cohort)
    shuffled = cohort.measures.sample(frac=1, random_state=0)[cohort.measures.columns[::-1]]
    again = transform(model, cohort, shuffled)
    pd.testing.assert_frame_equal(
        again.loc[harmonized.index, harmonized.columns], harmonized, check_exact=True
    )
    alone = transform(model, cohort, cohort.measures.iloc[[7]])
    pd.testing.assert_frame_equal(alone, harmonized.iloc[[7]], check_exact=True)


def test_a_saved_model_gives_the_same_bits_and_holds_no_subject(make, cohort, tmp_path):
    model = make()
    harmonized = fit_transform(model, cohort)
    model.save(tmp_path / "model.isoscan")
    loaded = iso.load(tmp_path / "model.isoscan")
    assert type(loaded) is type(model)
    assert loaded.hash_ == model.hash_
    pd.testing.assert_frame_equal(
        transform(loaded, cohort, cohort.measures), harmonized, check_exact=True
    )
    assert b"sub-" not in (tmp_path / "model.isoscan").read_bytes()


def test_the_reference_site_comes_back_unchanged(make, cohort):
    harmonized = fit_transform(make(reference="SITE02"), cohort)
    at_reference = cohort.people.site == "SITE02"
    pd.testing.assert_frame_equal(
        harmonized[at_reference], cohort.measures[at_reference], check_exact=True
    )
    assert not harmonized[~at_reference].equals(cohort.measures[~at_reference])


def test_a_rescaled_feature_is_rescaled_and_others_do_not_move(make, cohort):
    harmonized = fit_transform(make(), cohort)
    factor = pd.Series(1.0, index=cohort.measures.columns)
    factor.iloc[2] = 1000.0
    rescaled = fit_transform(make(), cohort, cohort.measures * factor)
    np.testing.assert_allclose(rescaled / factor, harmonized, rtol=1e-6)


def test_site_labels_do_not_matter(make, cohort):
    harmonized = fit_transform(make(), cohort)
    other = cohort.people.site.map({"SITE01": "z", "SITE02": "m", "SITE03": "a"})
    again = make().fit_transform(cohort.measures, sites=other, covariates=cohort.people)
    np.testing.assert_allclose(again, harmonized, rtol=1e-9)


def test_float32_comes_back_as_float32(make, cohort):
    table = cohort.measures.astype(np.float32)
    assert set(fit_transform(make(), cohort, table).dtypes) == {np.dtype(np.float32)}


def test_most_of_the_site_effect_is_gone(make, cohort):
    def gap(measures):
        means = (measures - cohort.clean).groupby(cohort.people.site).mean()
        return float(((means - means.mean()).abs() / cohort.clean.std()).mean(axis=None))

    assert gap(fit_transform(make(), cohort)) < 0.35 * gap(cohort.measures)


@pytest.mark.filterwarnings("ignore::isoscan.errors.MissingValuesWarning")
def test_missing_values_stay_missing_or_are_refused(make, cohort):
    holed = cohort.measures.copy()
    holed.iloc[3, 1] = np.nan
    if isinstance(make(), iso.CovBat):
        with pytest.raises(MissingValuesError, match="CovBat needs complete measures: 1 of"):
            fit_transform(make(), cohort, holed)
        return
    harmonized = fit_transform(make(), cohort, holed)
    pd.testing.assert_frame_equal(harmonized.isna(), holed.isna())


def test_arrays_come_back_as_arrays(make, cohort):
    X = cohort.measures.to_numpy()
    people = cohort.people.reset_index(drop=True)
    after = make().fit_transform(X, sites=people.site, covariates=people)
    np.testing.assert_allclose(after, fit_transform(make(), cohort), rtol=1e-12)


def test_methods_text_and_tables_tell_what_was_done(make, cohort):
    model = make()
    fit_transform(model, cohort)
    assert model.site_effects_.shape[0] == 3 * 10
    assert len(model.methods_text_[0]) > 100
    assert model.coefficients_.index.tolist() == list(cohort.measures.columns)


def test_a_robust_nonparametric_model_is_refused():
    cohort = simulate_tables(4, (20, 20), random_state=1)
    with pytest.raises(DataError, match="rests on means"):
        fit_transform(iso.ComBat(robust=True, prior="nonparametric"), cohort)


@pytest.mark.parametrize("kind", [iso.CovBat, iso.ComBatLS, iso.LongitudinalComBat])
def test_methods_that_cannot_estimate_unknown_sites_say_so(kind, cohort):
    with pytest.raises(DataError, match="cannot estimate unknown sites"):
        fit_transform(kind(unknown_sites="estimate"), cohort)
