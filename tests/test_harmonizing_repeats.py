"""Repeated scans are noticed whatever the method: said, and kept together in tests."""

import numpy as np
import pytest

import isoscan as iso
from isoscan.errors import RepeatedScansWarning
from isoscan.phantom import simulate_tables


@pytest.fixture(scope="module")
def visits():
    """Each of 30 people was scanned twice."""
    cohort = simulate_tables(5, (24, 20, 16), random_state=3)
    table = cohort.people.join(cohort.measures)
    table["participant_id"] = [f"p{row // 2:02d}" for row in range(60)]
    table[list(cohort.measures)] += np.random.default_rng(0).normal(size=(30, 5)).repeat(2, axis=0)
    return table


def test_repeated_scans_are_said_and_kept_together(visits):
    with pytest.warns(RepeatedScansWarning, match=r"30 people.*60 of 60 scans.*--method long"):
        done = iso.harmonize(visits, preserve="age")
    assert done.facts["evaluate"]["people"]["people"] == 30
    assert any("30 people" in note["sentence"] for note in done.facts["model"]["warnings"])


@pytest.mark.filterwarnings("ignore::isoscan.errors.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::isoscan.errors.ConfoundingWarning")
def test_methods_for_repeated_scans_need_no_warning(visits):
    longitudinal = iso.harmonize(visits, method="longitudinal", subject="participant_id")
    assert longitudinal.facts["evaluate"]["people"] is not None
    stepwise = iso.harmonize(visits, method="stepwise")
    assert stepwise.facts["evaluate"]["people"] is not None


def test_one_person_scanned_twice_is_enough(visits):
    once = visits.assign(participant_id=[f"p{max(row, 1):02d}" for row in range(60)])
    with pytest.warns(RepeatedScansWarning, match="1 person was scanned repeatedly"):
        done = iso.harmonize(once, preserve="age")
    assert done.facts["evaluate"]["people"]["people"] == 59


def test_people_scanned_once_are_no_repeats(visits):
    single = visits.assign(participant_id=[f"p{row:02d}" for row in range(60)])
    assert iso.harmonize(single, preserve="age").facts["evaluate"]["people"] is None
