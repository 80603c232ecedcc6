"""Figures show what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan.errors import DataError
from isoscan.phantom import simulate_tables
from isoscan.pooling import plot_agreement, plot_effects, plot_forest, site_effects


@pytest.fixture(scope="module")
def question():
    cohort = simulate_tables(50, (30, 40, 50, 30), random_state=2)
    measures = cohort.measures.copy()
    measures.loc[cohort.people.site == "SITE02", "region003_thickness"] = np.nan
    asked = {"contrast": "diagnosis", "groups": ("control", "patient")}
    return {"measures": measures, "sites": cohort.people.site, "covariates": cohort.people} | asked


def names(axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def test_forest_shows_sites_that_have_the_feature_and_their_numbers(question) -> None:
    pooled = iso.meta_analysis(site_effects(**question))
    axes = plot_forest(pooled, "region003_thickness")
    assert names(axes) == ["SITE01", "SITE03", "SITE04", "pooled", "new site"]
    columns = axes.figure.axes[1]
    assert "effect [95 % CI]" in names(columns)[0] and "%" in names(columns)[1]
    row = pooled.table.set_index("feature").loc["region003_thickness"]
    assert f"{row.n1:.0f}" in names(columns)[4]
    assert "I² =" in axes.get_xlabel()
    assert names(plot_forest(pooled, "region001_thickness"))[1] == "SITE02"


def test_forest_without_people_or_interval_of_tau2_is_drawn() -> None:
    bare = pd.DataFrame({"site": ["A", "B", "C"], "effect": [0.0, 0.0, 0.0], "se": [1.0, 2.0, 1.0]})
    axes = plot_forest(iso.meta_analysis(bare, method="fe"))
    assert names(axes.figure.axes[1])[0].split() == ["effect", "[95", "%", "CI]", "weight"]


def test_effects_are_in_order_and_those_that_hold_are_filled(question) -> None:
    table = iso.meta_analysis(site_effects(**question)).table
    axes = plot_effects(table, most=10)
    shown = table.set_index("feature").loc[names(axes)]
    assert shown.effect.is_monotonic_increasing and len(shown) == 10
    filled = sum(bar.get_facecolor()[3] > 0 for bar in axes.patches)
    assert filled == (shown.p_adjusted < 0.05).sum()
    assert "the 10 strongest of 50" in axes.get_title(loc="left")


def test_agreement_shows_every_strategy(question) -> None:
    compared = iso.compare_pooling(**question, n_jobs=1)
    one = plot_agreement(compared, "region003_thickness")
    assert names(one) == list(compared.strategies)
    many = plot_agreement(compared, most=5)
    assert len(names(many)) == 5
    labels = [text.get_text() for text in many.get_legend().get_texts()]
    assert labels == ["meta random, interval", *compared.strategies]


def test_what_is_not_there_is_refused(question) -> None:
    pooled = iso.meta_analysis(site_effects(**question))
    with pytest.raises(DataError, match="say which"):
        plot_forest(pooled)
    with pytest.raises(DataError, match="no feature 'insula'"):
        plot_forest(pooled, "insula")
    with pytest.raises(DataError, match="to draw"):
        plot_effects(pooled.table.assign(effect=np.nan))
