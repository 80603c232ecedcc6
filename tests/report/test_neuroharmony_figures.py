"""Figures of Neuroharmony draw what they are given, on the axes they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from isoscan.errors import DataError, MissingColumnError
from isoscan.evaluation.corrections import correction_ratio, covariate_contributions
from isoscan.evaluation.ks_grid import ks_against, ks_grid
from isoscan.report import neuroharmony as figures
from isoscan.unseen import select_sample


@pytest.fixture
def cohort():
    """Three scanners of 15, 10 and 5 people; the last scanned women only."""
    rng = np.random.default_rng(0)
    ids = pd.Index([f"sub-{k:02d}" for k in range(30)])
    people = pd.DataFrame(
        {
            "site": np.repeat(["A", "B", "C_$x$"], [15, 10, 5]),
            "age": rng.uniform(20, 60, 30),
            "sex": np.where(np.arange(30) % 2, "F", "M"),
        },
        ids,
    )
    people.loc[people.site == "C_$x$", "sex"] = "F"
    shift = people.site.map({"A": 0, "B": 9, "C_$x$": 0}).to_numpy()
    volumes = pd.DataFrame(rng.normal(50, 1, (30, 4)) + shift[:, None], ids, list("abcd"))
    return volumes, people


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(axes):
    axes.figure.canvas.draw()
    return axes


def heights(axes):
    return [bar.get_height() for bar in axes.patches]


def test_boxes_are_quartiles_and_triangles_lie_beyond_lines(cohort):
    volumes, people = cohort
    _, given = plt.subplots()
    axes = figures.plot_scanners(volumes, people.site[::-1], "b", given)
    assert drawn(axes) is given
    quartiles = volumes.b.groupby(people.site).quantile([0.25, 0.75]).unstack()
    assert heights(axes) == pytest.approx(quartiles.diff(axis=1)[0.75].tolist())
    triangles = axes.lines[0].get_ydata()
    assert set(triangles) < set(volumes.b)
    assert 2 * 3 <= len(triangles) < 10
    assert axes.lines[-1].get_ydata()[0] == volumes.b.median()
    with pytest.raises(MissingColumnError, match="no feature 'e'"):
        figures.plot_scanners(volumes, people.site, "e")


def test_ages_are_of_everybody_and_of_the_largest_scanners(cohort):
    _, people = cohort
    axes = drawn(figures.plot_ages(people, people.site, n_largest=2))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["all scanners", "A", "B"]
    assert len(axes.collections) >= 6
    axes = drawn(figures.plot_ages(people, people.site))
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "C_$x$"
    with pytest.raises(DataError, match="3 levels"):
        figures.plot_ages(people.assign(sex=list("abc") * 10), people.site)


def test_sexes_add_up_to_everybody(cohort):
    _, people = cohort
    axes = drawn(figures.plot_sexes(people, people.site))
    assert np.allclose(np.reshape(heights(axes), (2, 3)).sum(axis=0), 100)
    assert heights(axes)[2] == 100


def test_flow_counts_scans_and_scanners(cohort):
    volumes, people = cohort
    people.loc["sub-03", "age"] = 90.0
    chosen = select_sample(volumes, sites=people.site, covariates=people)
    sites = people.site[chosen.kept]
    new = sites == "C_$x$"
    axes = drawn(
        figures.plot_data_flow(chosen, sites[~new], sites[new], min_per_split=5, max_per_site=10)
    )
    text = " ".join(item.get_text() for item in axes.texts)
    for expected in (
        "30 scans", "left out: age: 1", "29 scans, 3 scanners", "ComBat: 24 scans, 2 scanners",
        "forests: 20 of 24 scans", "one of 2 groups", "validation: 5 scans, 1 scanner",
    ):  # fmt: skip
        assert expected in text
    drawn(figures.plot_data_flow(chosen, sites, min_per_split=5))
    with pytest.raises(DataError, match="nothing is unseen"):
        figures.plot_data_flow(chosen, sites, sites[new])
    with pytest.raises(DataError, match="29 were selected"):
        figures.plot_data_flow(chosen, [*sites, "A"])


def test_before_is_below_the_diagonal_and_after_above(cohort):
    volumes, people = cohort
    grids = [ks_grid(table, people.site) for table in (volumes, volumes.rank() * 0 + 1)]
    after = ks_grid(volumes - 9 * (people.site == "B").to_numpy()[:, None], people.site)
    axes = drawn(figures.plot_smallest_p(grids[0], after))
    image = axes.images[0].get_array()
    assert image[1, 0] == pytest.approx(1e-4)
    assert image[0, 1] > 0.001
    crosses = axes.lines[0]
    assert list(zip(crosses.get_ydata(), crosses.get_xdata(), strict=True)) == [(1, 0), (2, 1)]
    other = ks_grid(volumes, people.site.replace("A", "Z"))
    with pytest.raises(DataError, match="different scanners"):
        figures.plot_smallest_p(grids[0], other)


def test_pairs_of_bars_are_p_with_and_without_correction(cohort):
    volumes, _ = cohort
    raw = pd.Series({"a": 1e-20, "b": 0.5})
    axes = drawn(figures.plot_validation_p(raw[::-1], pd.Series({"a": 0.2, "b": 0.01})))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert tops == pytest.approx([0.2, 0.01, 1e-12, 0.5])
    with pytest.raises(DataError, match="different features"):
        figures.plot_validation_p(raw, ks_against(volumes, volumes))


def test_ratios_are_the_extremes_beside_their_spread(cohort):
    volumes, _ = cohort
    table = correction_ratio(volumes, volumes * [0.1, 0.2, 0.3, 0.4])
    axes = drawn(figures.plot_correction_ratios(table, n=1))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["d", "a"]
    assert heights(axes)[:2] == pytest.approx([2.5, 10])
    percent = figures.plot_correction_ratios(table, percent=True)
    assert heights(percent)[:4] == pytest.approx([40, 30, 20, 10])
    with pytest.raises(MissingColumnError, match="correction_ratio"):
        figures.plot_correction_ratios(table[["ratio"]])


def test_contributions_are_stacked_to_100(cohort):
    volumes, people = cohort
    shares = covariate_contributions({"age": volumes, "site": 3 * volumes}, people.site)
    axes = drawn(figures.plot_contributions(shares))
    assert heights(axes) == pytest.approx([75] * 3 + [25] * 3)
    with pytest.raises(DataError, match="sum to 1"):
        figures.plot_contributions(shares * 2)


def test_panels_name_p_and_feature(cohort):
    volumes, _ = cohort
    few = volumes.iloc[:2]
    figure = figures.plot_distributions(volumes, volumes + 9, few, ["a", "c", "d"], columns=2)
    figure.canvas.draw()
    assert len(figure.axes) == 4
    p = ks_against(volumes + 9, volumes).a
    assert figure.axes[0].get_title() == f"p = {p:.2g}"
    assert figure.axes[1].get_xlabel() == "c"
    with pytest.raises(MissingColumnError):
        figures.plot_distributions(volumes, volumes, volumes, ["z"])


def test_correlations_are_those_of_pearson(cohort):
    volumes, _ = cohort
    axes = drawn(figures.plot_correlations(volumes.assign(same=1.0)))
    image = axes.images[0].get_array()
    assert image[0, 1] == pytest.approx(np.corrcoef(volumes.a, volumes.b)[0, 1])
    assert np.ma.is_masked(image[0, 4]) or np.isnan(image[0, 4])
    with pytest.raises(DataError, match="3 scans"):
        figures.plot_correlations(volumes.iloc[:2])
