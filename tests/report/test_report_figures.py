"""Figures draw what they are given, where they are told to."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import report_cohort

from isoscan.report import plot_feature, plot_ks_matrix, plot_site_effects, plot_slopes
from isoscan.report.arrange import as_matrix, shorten


@pytest.fixture
def pyplot():
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


def tidy(cohort):
    shift = cohort.shift.rename_axis("site").rename_axis("feature", axis=1).stack()
    return shift.rename("shift").reset_index()


def draw_each(cohort, ax=None):
    slopes = report_cohort.evaluate_facts(cohort)["biology"]["terms"]["age"]
    name = cohort.measures.columns[0]
    yield plot_feature(cohort.measures, cohort.clean, cohort.people.site, name, ax=ax)
    yield plot_site_effects(tidy(cohort), ax=ax)
    yield plot_ks_matrix(np.full((3, 3), 0.02), ["A", "B", "C"], ax=ax)
    yield plot_slopes(slopes, term="age", ax=ax)


def test_every_figure_draws_on_the_axes_it_is_given(cohort, pyplot):
    axes = pyplot.subplots()[1]
    assert all(drawn is axes for drawn in draw_each(cohort, ax=axes))


def test_every_figure_makes_axes_of_its_own(cohort, pyplot):
    drawn = list(draw_each(cohort))
    assert len({id(axes) for axes in drawn}) == 4
    for axes in drawn:
        axes.figure.canvas.draw()


def test_a_tidy_frame_and_a_matrix_are_the_same_site_effects(cohort):
    pd.testing.assert_frame_equal(as_matrix(tidy(cohort)), cohort.shift, check_names=False)


def test_sites_are_matched_to_scans_by_id(cohort, pyplot):
    name = cohort.measures.columns[0]
    pictures = [
        plot_feature(cohort.measures, None, sites, name)
        for sites in (cohort.people.site, cohort.people.site.iloc[::-1])
    ]
    first, second = ([line.get_xydata().tolist() for line in ax.lines] for ax in pictures)
    assert first == second


def test_scale_is_drawn_as_the_logarithm_of_the_ratio(pyplot):
    axes = plot_site_effects([[0.5, 1.0]], what="scale", sites=["A"], features=["x", "y"])
    assert axes.images[0].get_array().tolist() == [[-1.0, 0.0]]


def test_a_dollar_in_a_name_is_no_formula(cohort, pyplot):
    odd = cohort.measures.set_axis([f"$\\frac{{{n}" for n in range(12)], axis=1)
    plot_feature(odd, None, cohort.people.site, odd.columns[0]).figure.canvas.draw()


@pytest.mark.parametrize("limit", [5, 8, 26])
def test_short_names_fit(limit):
    assert len(shorten("lh_caudalanteriorcingulate_thickness", limit)) == limit
