"""Values that cannot be are named."""

import isoscan as iso
from isoscan.phantom import simulate_tables


def findings(before, after, people):
    facts = iso.evaluate(before, after, sites=people.site, covariates=people)
    return {finding["code"]: finding["sentence"] for finding in facts["findings"]}, facts["bounds"]


def test_new_negative_values_and_shares_above_one_are_named():
    cohort = simulate_tables(4, (40, 40), random_state=2)
    before = cohort.measures.abs()
    before.iloc[:, 1] = before.iloc[:, 1].rank(pct=True)
    after = before.copy()
    after.iloc[3, 0], after.iloc[[3, 5], 1] = -0.1, 1.2
    said, facts = findings(before, after, cohort.people)
    first, second = before.columns[:2]
    assert facts == {"below_zero": {first: 1}, "above_one": {second: 2}, "scans": 2}
    assert (
        f"1 feature never negative before now with negative values, '{first}' (1)"
        in (said["beyond-bounds"])
    )


def test_measures_that_may_be_negative_may_stay_so():
    cohort = simulate_tables(4, (40, 40), random_state=2)
    before = cohort.measures - cohort.measures.mean()
    said, facts = findings(before, before - 1, cohort.people)
    assert facts["scans"] == 0
    assert "beyond-bounds" not in said
