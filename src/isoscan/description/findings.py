"""Turn facts into sentences, the most serious first."""

from __future__ import annotations

from isoscan.description.about_covariates import findings_about_covariates
from isoscan.description.about_measures import findings_about_measures
from isoscan.description.plain import Facts
from isoscan.description.sentences import Finding, say

LEVELS = ("problem", "warning", "note", "good")
"""What keeps data from being harmonized, what to look at, what to know, what is fine."""


def list_findings(facts: Facts) -> list[Finding]:
    """Say in sentences what the facts mean for harmonization.

    Parameters
    ----------
    facts : dict
        Facts from `isoscan.description.describe`, without findings.

    Returns
    -------
    list of dict
        level, code and sentence; ordered by level.
    """
    found = [*findings_about_covariates(facts), *findings_about_measures(facts)]
    if not any(finding["level"] in LEVELS[:2] for finding in found):
        found.append(say("good", "ready", "Nothing found that stands in the way of harmonizing."))
    return sorted(found, key=lambda finding: LEVELS.index(finding["level"]))
