"""Say in plain words whether the data can be used, from the findings of every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isoscan.errors import count
from isoscan.report.brief import in_brief
from isoscan.report.prediction import accuracy_after, is_below_chance
from isoscan.report.repeats import is_said_elsewhere, model_warnings
from isoscan.report.wording import NO_BREAK, is_number, percent, plain_term

LEVELS = ("problem", "warning", "note", "good")
_SHOWN = 4

Facts = Mapping[str, Any]


def reach_verdict(
    describe: Facts | None = None, evaluate: Facts | None = None, model: Facts | None = None
) -> dict[str, Any]:
    """Weigh the findings: a headline, the few that matter most, and all of them.

    Parameters
    ----------
    describe, evaluate, model : mapping or None
        Facts of each step; None when the step was not done.

    Returns
    -------
    dict
        Keys level (one of `LEVELS`), headline, sentences (at most four findings) and
        findings (all of them, the most severe first). Each finding has a sentence in full and
        in brief.

    Examples
    --------
    >>> reach_verdict(evaluate={"findings": []})["headline"]
    'No problem found'
    """
    findings = gather_findings(describe, evaluate, model)
    level = findings[0]["level"] if findings else "good"
    level = "good" if level == "note" else level
    worst = [finding for finding in findings if finding["level"] == level]
    return {
        "level": level,
        "headline": _headline(level, len(worst), harmonized=bool(evaluate or model)),
        "sentences": _most_telling(findings),
        "findings": findings,
    }


def gather_findings(
    describe: Facts | None, evaluate: Facts | None, model: Facts | None
) -> list[dict[str, str]]:
    """Put the findings of all steps in one list, the most severe first, none twice.

    Parameters
    ----------
    describe, evaluate, model : mapping or None
        Facts of each step.

    Returns
    -------
    list of dict
        Keys level, source (harmonized data, model or sample), sentence and brief.
    """
    said = [
        *_from(_reworded(evaluate, model), "harmonized data"),
        *(_finding("warning", "model", text) for text in model_warnings(model, describe)),
        *_from(_unsettled(describe, model), "sample"),
    ]
    unique = {finding["sentence"]: finding for finding in reversed(said)}
    kept = [finding for finding in said if unique[finding["sentence"]] is finding]
    return sorted(kept, key=lambda finding: LEVELS.index(finding["level"]))


def key_numbers(evaluate: Facts | None) -> list[dict[str, Any]]:
    """Pick the few numbers that show what harmonization did.

    Parameters
    ----------
    evaluate : mapping or None
        Facts of the evaluation.

    Returns
    -------
    list of dict
        Keys label, note, before, after (texts), share_before, share_after (0 to 1, for bars)
        and mark (a reference such as chance, or None).
    """
    if not evaluate:
        return []
    return [*_site_numbers(evaluate), *_prediction(evaluate), *_kept_slopes(evaluate)]


def _headline(level: str, found: int, *, harmonized: bool) -> str:
    if level == "good":
        return "No problem found"
    if level == "problem":
        settle = "before these data are used" if harmonized else "before harmonizing"
        return f"{count(found, 'problem')} to settle {settle}"
    use = "Usable with care" if harmonized else "Can be harmonized, with care"
    return f"{use}: {count(found, 'caution')}"


def _most_telling(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    """Choose the most severe findings, and at least one that is good."""
    telling = [finding for finding in findings if finding["level"] != "note"]
    good = [finding for finding in telling if finding["level"] == "good"]
    worse = [finding for finding in telling if finding["level"] != "good"]
    room = max(_SHOWN - len(worse), 1 if good else 0)
    return (worse[: _SHOWN - min(room, len(good))] + good[:room]) or findings[:_SHOWN]


def _from(findings: Iterable[Facts], source: str) -> Iterable[dict[str, str]]:
    for finding in findings:
        level = finding["level"] if finding["level"] in LEVELS else "note"
        yield _finding(level, source, str(finding["sentence"]))


def _finding(level: str, source: str, sentence: str) -> dict[str, str]:
    return {"level": level, "source": source, "sentence": sentence, "brief": in_brief(sentence)}


def _reworded(evaluate: Facts | None, model: Facts | None) -> Iterable[Facts]:
    """Findings of the evaluation, with terms in plain words."""
    terms = ((evaluate or {}).get("biology") or {}).get("terms") or {}
    for finding in (evaluate or {}).get("findings", ()):
        sentence = str(finding["sentence"])
        for term in terms:
            sentence = sentence.replace(f"'{term}'", plain_term(term))
        if not is_said_elsewhere(finding, evaluate, model):
            yield {**finding, "sentence": sentence}


def _unsettled(describe: Facts | None, model: Facts | None) -> Iterable[Facts]:
    for finding in (describe or {}).get("findings", ()):
        if not is_said_elsewhere(finding, None, model):
            yield finding


def _change(
    label: str, before: Any, after: Any, note: str = "", mark: Any = None
) -> dict[str, Any]:
    return {
        "label": label,
        "note": note,
        "before": percent(before),
        "after": percent(after),
        "share_before": before if is_number(before) else None,
        "share_after": after if is_number(after) else None,
        "mark": mark,
    }


def _site_numbers(evaluate: Facts) -> Iterable[dict[str, Any]]:
    effects = evaluate["site_effects"]
    before, after = effects["summary"]["before"], effects["summary"]["after"]
    expected = effects.get("expected_partial_r2")
    chance = f"; chance gives {percent(expected)}" if is_number(expected) else ""
    fdr = f"FDR 5{NO_BREAK}%"
    chosen = (
        ("median_partial_r2", "Variance explained by site", f"median partial R²{chance}", expected),
        ("share_mean_significant", "Features whose mean differs by site", f"F test, {fdr}", None),
        ("share_variance_significant", "Features whose variance differs by site",
         f"Brown–Forsythe test, {fdr}", None),
    )  # fmt: skip
    for key, label, note, mark in chosen:
        yield _change(label, before.get(key), after.get(key), note, mark)


def _prediction(evaluate: Facts) -> Iterable[dict[str, Any]]:
    predicted = evaluate.get("predictability") or {}
    before, after = predicted.get("before"), accuracy_after(predicted)
    if before and after:
        chance = predicted.get("chance")
        yield _change(
            "Site guessed right from the measures",
            before.get("balanced_accuracy"),
            after.get("balanced_accuracy"),
            _about_accuracy(predicted),
            chance,
        )


def _about_accuracy(predicted: Facts) -> str:
    note = f"balanced accuracy; chance is {percent(predicted.get('chance'))}"
    if predicted.get("held_out"):
        who = predicted.get("left_out_together", "scans")
        return f"{note}; after: in {who} harmonization had not seen"
    return note + "; less than chance means not predictable" * is_below_chance(predicted)


def _kept_slopes(evaluate: Facts) -> Iterable[dict[str, Any]]:
    """Keep one number for all covariates: the lowest correlation."""
    terms = (evaluate.get("biology") or {}).get("terms") or {}
    known = {
        plain_term(term): slopes["correlation"]
        for term, slopes in terms.items()
        if is_number(slopes.get("correlation"))
    }
    if known:
        lowest = min(known, key=lambda term: known[term])
        others = [term for term in known if term != lowest]
        note = "lowest correlation over features: "
        yield {
            "label": "Covariate slopes, before and after",
            "note": note + lowest + (f"; also tested: {', '.join(others[:3])}" if others else ""),
            "before": None,
            "after": f"r = {known[lowest]:.2f}".replace("-", "−"),
            "share_before": None,
            "share_after": None,
            "mark": None,
        }
