"""The text for a terminal: short, ordered, never wider than 100 columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoscan.description import as_text, describe
from isoscan.phantom import simulate_tables


def test_findings_come_before_the_table_of_sites() -> None:
    cohort = simulate_tables(10, (30, 1), random_state=0)
    text = as_text(describe(cohort.measures, sites=cohort.people.site, covariates=cohort.people))
    headings = [line for line in text.splitlines() if line.isupper()]
    assert headings[0] == "PROBLEMS"
    assert headings.index("SITES") > headings.index("NOTES")


def test_long_names_and_many_covariates_stay_within_100_columns() -> None:
    random = np.random.default_rng(0)
    names = [f"site_with_a_very_long_name_{number:02d}_and_more" for number in range(80)]
    people = pd.DataFrame({f"covariate{n}": random.normal(size=800) * 10**n for n in range(9)})
    measures = pd.DataFrame(random.normal(size=(800, 3)), columns=["f" * 80, "g" * 120, "h"])
    measures.iloc[5] = 1e4
    text = as_text(describe(measures, sites=np.repeat(names, 10), covariates=people))
    assert max(map(len, text.splitlines())) <= 100
    assert "and 20 more" in text  # sites


def test_site_table_shows_counts_ranges_and_levels() -> None:
    people = pd.DataFrame({"age": [20.0, 30.0, 40.0, 25.5], "sex": ["F", "M", "M", "M"]})
    text = as_text(describe(np.ones((4, 1)), sites=list("AAAB"), covariates=people))
    row = next(line for line in text.splitlines() if line.startswith("  A "))
    assert row.split() == ["A", "3", "30", "(20", "to", "40)", "1:2", "-"]
