"""What must not matter does not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isoscan as iso
from isoscan.phantom import TablePhantom, simulate_tables

pytestmark = [
    pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning"),
    pytest.mark.filterwarnings("ignore::isoscan.errors.SmallSiteWarning"),
]

FORMULA = "age + C(sex)"
OPTIONS = [
    {},
    {"prior": None},
    {"mean_only": True},
    {"reference": "SITE02"},
    {"remove": "C(diagnosis)"},
]


def _cohort(seed: int = 0, n_features: int = 12) -> TablePhantom:
    return simulate_tables(n_features, (44, 36, 30), random_state=seed)


def _fit_transform(measures, people, **options) -> pd.DataFrame:
    return iso.ComBat(FORMULA, **options).fit_transform(
        measures, sites=people.site, covariates=people
    )


@pytest.mark.parametrize("options", OPTIONS)
@given(seed=st.integers(0, 99))
def test_order_of_rows_and_columns_does_not_matter(options, seed) -> None:
    cohort = _cohort()
    random = np.random.default_rng(seed)
    rows, columns = (
        random.permutation(cohort.measures.index),
        random.permutation(cohort.measures.columns),
    )
    plain = _fit_transform(cohort.measures, cohort.people, **options)
    shuffled = _fit_transform(cohort.measures.loc[rows, columns], cohort.people, **options)
    assert list(shuffled.index) == list(rows)
    assert list(shuffled.columns) == list(columns)
    pd.testing.assert_frame_equal(
        shuffled.loc[plain.index, plain.columns], plain, rtol=1e-11, atol=0
    )


@pytest.mark.parametrize("options", OPTIONS)
@given(seed=st.integers(0, 99))
def test_one_by_one_equals_in_bulk_to_the_last_bit(options, seed) -> None:
    cohort = _cohort()
    random = np.random.default_rng(seed)
    half = random.random(len(cohort.people)) < 0.5
    train, rest = cohort.measures[~half], cohort.measures[half]
    model = iso.ComBat(FORMULA, **options).fit(
        train, sites=cohort.people.site[~half], covariates=cohort.people[~half]
    )
    people = cohort.people[half]
    bulk = model.transform(rest, sites=people.site, covariates=people)
    for scan in random.choice(rest.index, 5):
        columns = random.permutation(rest.columns)
        alone = model.transform(
            rest.loc[[scan], columns],
            sites=people.site[[scan]],
            covariates=people.loc[[scan]],
        )
        assert (alone.loc[scan] == bulk.loc[scan, columns]).all()
    backwards = model.transform(rest.iloc[::-1], sites=people.site, covariates=people)
    pd.testing.assert_frame_equal(backwards.iloc[::-1], bulk, check_exact=True)


@given(names=st.permutations(["A", "Z", "10", "9", "東京", "B/2", "C(site)"]))
def test_names_of_sites_do_not_matter(names) -> None:
    cohort = _cohort()
    renamed = cohort.people.assign(
        site=cohort.people.site.map(dict(zip(sorted(set(cohort.people.site)), names, strict=False)))
    )
    pd.testing.assert_frame_equal(
        _fit_transform(cohort.measures, renamed),
        _fit_transform(cohort.measures, cohort.people),
        rtol=1e-11,
    )


@given(factor=st.floats(1e-3, 1e4), offset=st.floats(-1e3, 1e3))
def test_units_of_a_feature_carry_through_and_touch_no_other(factor, offset) -> None:
    cohort = _cohort()
    feature = cohort.measures.columns[3]
    rescaled = cohort.measures.assign(**{feature: factor * cohort.measures[feature] + offset})
    plain = _fit_transform(cohort.measures, cohort.people)
    mine = _fit_transform(rescaled, cohort.people)
    others = plain.columns.drop(feature)
    pd.testing.assert_frame_equal(mine[others], plain[others], rtol=1e-9)
    expected = factor * plain[feature] + offset
    size = factor * plain[feature].abs().max() + abs(offset)
    np.testing.assert_allclose(mine[feature], expected, atol=1e-9 * size)


@given(code=st.sampled_from(["C(sex)", "sex", "C(sex, contr.sum)", "1 + C(sex)", "C(sex) - 1"]))
def test_coding_of_a_category_does_not_matter(code: str) -> None:
    cohort = _cohort()

    def with_formula(formula: str) -> pd.DataFrame:
        return iso.ComBat(formula).fit_transform(
            cohort.measures, sites=cohort.people.site, covariates=cohort.people
        )

    pd.testing.assert_frame_equal(with_formula(f"age + {code}"), with_formula(FORMULA), rtol=1e-9)


def test_reference_site_comes_back_unchanged_also_when_new() -> None:
    cohort = _cohort()
    is_train = np.arange(len(cohort.people)) % 2 == 0
    for dtype in (np.float64, np.float32):
        measures = cohort.measures.astype(dtype)
        model = iso.ComBat(FORMULA, reference="SITE02").fit(
            measures[is_train],
            sites=cohort.people.site[is_train],
            covariates=cohort.people[is_train],
        )
        mine = model.transform(measures, sites=cohort.people.site, covariates=cohort.people)
        at_reference = cohort.people.site == "SITE02"
        pd.testing.assert_frame_equal(mine[at_reference], measures[at_reference], check_exact=True)
        assert not mine[~at_reference].equals(measures[~at_reference])
        assert (mine.dtypes == dtype).all()


def test_number_of_threads_does_not_change_a_bit() -> None:
    cohort = simulate_tables(3000, (60, 50, 40), random_state=3)
    results = [_fit_transform(cohort.measures, cohort.people, n_jobs=n) for n in (1, 2, 3)]
    for other in results[1:]:
        pd.testing.assert_frame_equal(results[0], other, check_exact=True)


def test_inputs_are_not_modified() -> None:
    cohort = _cohort()
    measures, people = cohort.measures.copy(), cohort.people.copy()
    _fit_transform(cohort.measures, cohort.people)
    pd.testing.assert_frame_equal(cohort.measures, measures)
    pd.testing.assert_frame_equal(cohort.people, people)


def test_missing_cells_stay_missing_and_the_rest_is_exact() -> None:
    """A feature with holes is fitted from the scans that have it; the others do not move."""
    cohort = _cohort()
    feature = cohort.measures.columns[2]
    holes = cohort.measures.index[[1, 50, 90]]
    measures = cohort.measures.copy()
    measures.loc[holes, feature] = np.nan
    with pytest.warns(iso.errors.MissingValuesWarning, match=f"3 of 1320 .*'{feature}'"):
        mine = _fit_transform(measures, cohort.people, prior=None)
    plain = _fit_transform(cohort.measures, cohort.people, prior=None)
    others = plain.columns.drop(feature)
    pd.testing.assert_frame_equal(mine[others], plain[others], rtol=1e-12)
    assert list(mine.index[mine[feature].isna()]) == list(holes)
    alone = _fit_transform(
        measures[[feature, others[0]]].drop(holes), cohort.people.drop(holes), prior=None
    )
    # All sites keep their weights n_b in the grand mean, as in R; shifts agree up to a constant.
    difference = mine[feature].drop(holes) - alone[feature]
    assert np.ptp(difference) < 1e-12
