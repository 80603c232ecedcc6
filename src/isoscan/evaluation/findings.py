"""Turn facts into a verdict: sentences, the most serious first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from isoscan.description.plain import Facts, in_words, percent
from isoscan.errors import count, name_some
from isoscan.evaluation.bounds import bound_sentence
from isoscan.evaluation.people_findings import about_people
from isoscan.evaluation.prediction_findings import about_prediction
from isoscan.evaluation.slope_findings import about_ranks, about_slopes
from isoscan.evaluation.wording import LEVELS, Finding, say

TOLERATED = 0.05
"""Share of features or of pairs of sites that may differ before it is called a warning."""
SIGNIFICANT = 0.05


def list_findings(facts: Facts) -> list[Finding]:
    """Say in sentences what harmonization did.

    Parameters
    ----------
    facts : dict
        Facts from `isoscan.evaluation.evaluate`, without findings.

    Returns
    -------
    list of dict
        level (problem, warning, good, note), code and sentence; ordered by level.
    """
    sections = (
        _about_values,
        _about_means,
        _about_variances,
        _about_distributions,
        about_prediction,
        about_slopes,
        about_ranks,
        about_people,
        _about_same_scans,
    )
    found = [finding for section in sections for finding in section(facts)]
    return sorted(found, key=lambda finding: LEVELS.index(finding["level"]))


def _about_values(facts: Facts) -> Iterator[Finding]:
    values = facts["values"]
    if values["infinite"]["after"]:
        yield say(
            "problem",
            "infinite-after",
            f"{count(values['infinite']['after'], 'value')} of the harmonized table are infinite "
            f"and were left out here. Do not use the table before the cause is found.",
        )
    if values["lost"]:
        yield say(
            "problem",
            "values-lost",
            f"{count(values['lost'], 'value')} measured before are missing after harmonization. "
            f"Check that both tables belong together.",
        )
    if values["identical"]:
        yield say(
            "warning",
            "unchanged",
            "The tables before and after are identical: nothing was harmonized.",
        )
    beyond = bound_sentence(facts["bounds"])
    if beyond:
        yield say("warning", "beyond-bounds", beyond)
    untested = values["not_tested"]
    if untested:
        yield say(
            "note",
            "not-tested",
            f"{count(untested, 'feature')} could not be tested, having too few values or no "
            f"variation: {name_some(untested)}.",
        )


def _about_means(facts: Facts) -> Iterator[Finding]:
    effects = facts["site_effects"]
    before, after = effects["summary"]["before"], effects["summary"]["after"]
    if before["median_partial_r2"] is None or after["median_partial_r2"] is None:
        yield say("note", "site-means", "No feature could be tested for differences between sites.")
        return
    level = _level(before["share_mean_significant"], after["share_mean_significant"])
    chance = effects["expected_partial_r2"]
    if after["median_partial_r2"] > before["median_partial_r2"] + chance:
        level = "problem"
    yield say(
        level,
        "site-means",
        f"Site explains {_share(before['median_partial_r2'])} of the variance of the median "
        f"feature before harmonization and {_share(after['median_partial_r2'])} after (partial "
        f"R²; chance alone gives {_share(chance)}). Means differ between sites in "
        f"{_of_features(effects, 'before', 'p', before['share_mean_significant'])} before and "
        f"{_of_features(effects, 'after', 'p', after['share_mean_significant'])} after"
        f"{_worst(after)}.",
    )


def _about_variances(facts: Facts) -> Iterator[Finding]:
    effects = facts["site_effects"]
    shares = [effects["summary"][when]["share_variance_significant"] for when in _WHEN]
    if None in shares:
        return
    yield say(
        _level(*shares),
        "site-variances",
        f"Variances differ between sites in "
        f"{_of_features(effects, 'before', 'levene_p', shares[0])} before and "
        f"{_of_features(effects, 'after', 'levene_p', shares[1])} after.",
    )


def _about_distributions(facts: Facts) -> Iterator[Finding]:
    found = facts["distributions"]
    smallest = {when: _upper_triangle(found[when]) for when in _WHEN}
    tested = {when: int((~np.isnan(p)).sum()) for when, p in smallest.items()}
    if not tested["before"] or not tested["after"]:
        return
    differing = {when: int((p < SIGNIFICANT).sum()) for when, p in smallest.items()}
    shares = [differing[when] / tested[when] for when in _WHEN]
    yield say(
        _level(*shares),
        "distributions",
        f"{differing['before']} of {count(tested['before'], 'pair')} of sites differ in the "
        f"distribution of at least one feature before and {differing['after']} after "
        f"(Kolmogorov-Smirnov, smallest p times the number of features below {SIGNIFICANT})"
        f"{_worst_pair(found) if differing['after'] else ''}.",
    )


def _about_same_scans(facts: Facts) -> Iterator[Finding]:
    if not facts["values"]["identical"]:
        yield say(
            "note",
            "same-scans",
            "If harmonization was fitted to these same scans, tests of site means and variances "
            "are optimistic by construction: it removed what they look for. A large p shows that "
            "it ran, not that new scans of these sites will agree.",
        )


_WHEN = ("before", "after")


def _level(before: float, after: float) -> str:
    """Weigh what is left against what there was."""
    if after > TOLERATED:
        return "warning"
    return "good" if before > TOLERATED else "note"


def _share(value: float) -> str:
    """A share of variance, with a decimal where whole percents hide the difference."""
    return f"{100 * value:.1f} %" if 0.001 <= value < 0.0995 else percent(value)


def _of_features(effects: Facts, when: str, test: str, share: float) -> str:
    """How many features a share stands for."""
    tested = sum(value is not None for value in effects[when][test])
    return f"{round(share * tested)} of {count(tested, 'feature')}"


def _worst(summary: Facts) -> str:
    if not summary["share_mean_significant"]:
        return ""
    return f", most in '{summary['worst_feature']}' ({_share(summary['max_partial_r2'])})"


def _upper_triangle(matrix: list[list[Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.array(matrix, dtype=float)
    return values[np.triu_indices(len(values), 1)]


def _worst_pair(found: Facts) -> str:
    matrix = np.array(found["after"], dtype=float)
    row, column = np.unravel_index(np.nanargmin(matrix), matrix.shape)
    first, second = found["sites"][row], found["sites"][column]
    feature = found["worst_feature"]["after"][row][column]
    return (
        f"; most after: '{first}' and '{second}' in '{feature}' "
        f"(p = {in_words(matrix[row, column])})"
    )
