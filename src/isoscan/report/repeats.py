"""Say once what several steps have found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]

SAID_OF_SAMPLE = {
    "SmallSiteWarning": {"small-site"},
    "ConstantFeatureWarning": {"constant-feature", "constant-within-site"},
    "MissingValuesWarning": {"missing"},
    "SiteLabelWarning": {"lookalike-sites"},
}
"""Warnings of a model, and the findings about the sample that say the same."""


def model_warnings(model: Facts | None, describe: Facts | None) -> Iterator[str]:
    """Sentences of the model that the description of the sample does not say already.

    Parameters
    ----------
    model, describe : mapping or None
        Facts of both steps. A warning is a sentence, or a mapping with code and sentence.

    Yields
    ------
    str
        Warnings.
    """
    said = {finding.get("code") for finding in (describe or {}).get("findings", ())}
    for warning in (model or {}).get("warnings", ()):
        code, sentence = (
            (warning["code"], warning["sentence"])
            if isinstance(warning, Mapping)
            else ("", str(warning))
        )
        if not SAID_OF_SAMPLE.get(code, set()) & said or _is_about_single_scans(sentence):
            yield sentence


def is_said_elsewhere(finding: Facts, evaluate: Facts | None, model: Facts | None) -> bool:
    """Tell findings that another step has settled or said.

    Parameters
    ----------
    finding : mapping
        Code and sentence.
    evaluate, model : mapping or None
        Facts of the evaluation and of the model.

    Returns
    -------
    bool
        True for features not tested because they passed through the model, and for sites
        of one scan that the model was told what to do with.
    """
    if finding.get("code") == "not-tested":
        passed = set((model or {}).get("passed_through") or ())
        return set((evaluate or {}).get("values", {}).get("not_tested", ())) <= passed
    if finding.get("code") == "single-scan-site":
        return model is not None
    return False


def _is_about_single_scans(sentence: str) -> bool:
    """What was done with sites of one scan is known to the model alone."""
    return "with 1 scan" in sentence or "only one of its site" in sentence
