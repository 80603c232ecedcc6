import pytest
import report_cohort
import report_visits


@pytest.fixture(scope="session")
def cohort():
    return report_cohort.cohort()


@pytest.fixture(scope="session")
def facts(cohort):
    return report_cohort.facts_about(cohort, title="Pilot of three sites")


@pytest.fixture(scope="session")
def visits():
    """A harmonized study of people who were scanned three times; not to be changed."""
    return report_visits.harmonized()
