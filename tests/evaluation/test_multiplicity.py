"""Many tests at once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from isoscan.evaluation.multiplicity import share_discovered, smallest_adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_discoveries_are_those_of_benjamini_and_hochberg(p):
    values = np.array(p)
    adjusted = scipy.stats.false_discovery_control(values)
    clear = np.abs(adjusted - 0.05) > 1e-9  # ties with the limit are a matter of rounding
    if clear.all():
        assert share_discovered(values) == pytest.approx((adjusted < 0.05).mean())


def test_tests_that_were_not_done_do_not_count():
    assert share_discovered(np.array([0.01, np.nan, np.nan])) == 1
    assert np.isnan(share_discovered(np.array([np.nan])))
    assert np.isnan(smallest_adjusted(np.array([[np.nan, np.nan]]))).all()
