import pytest
import report_cohort


@pytest.fixture(scope="session")
def cohort():
    return report_cohort.cohort()


@pytest.fixture(scope="session")
def facts(cohort):
    return report_cohort.facts_about(cohort, title="Pilot of three sites")
