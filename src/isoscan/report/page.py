"""Render the facts as one HTML file that needs no network and nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoscan.errors import count
from isoscan.report.components import draw_components
from isoscan.report.curves import draw_curves
from isoscan.report.drawings import (
    draw_ks,
    draw_model_effects,
    draw_site_effects,
    draw_site_medians,
    draw_slopes,
    p_legend,
    site_medians,
)
from isoscan.report.facts import as_plain
from isoscan.report.listing import list_changes, list_features, list_sites, list_values
from isoscan.report.model_listing import list_curves, list_people, list_spread, list_subjects
from isoscan.report.people import draw_people, has_ratios, say_changes, whose_scans
from isoscan.report.prediction import accuracy_after, footnote
from isoscan.report.spread import draw_spread
from isoscan.report.strips import draw_covariates
from isoscan.report.subjects import draw_subjects
from isoscan.report.svg import Drawing
from isoscan.report.wording import number, percent, plain_term
from isoscan.tables.write import write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

_WORDS = {"problem": "Problem", "warning": "Caution", "note": "Note", "good": "Good"}
_METHOD_SECTIONS = {
    "curves": "Curves",
    "components": "Components",
    "spread": "Spread",
    "subjects": "Subjects",
}
_NO_MARKUP = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}

Facts = Mapping[str, Any]


def render_report(facts: Facts) -> str:
    """Render facts as one HTML page.

    Parameters
    ----------
    facts : mapping
        From `collect_facts`, or the same read back from JSON.

    Returns
    -------
    str
        HTML with everything inside; it loads nothing.

    Examples
    --------
    >>> from isoscan.report.facts import collect_facts
    >>> render_report(collect_facts(title="Pilot"))[:15]
    '<!DOCTYPE html>'
    """
    from markupsafe import Markup

    plain = as_plain(facts)
    drawings = _draw(plain)
    script = _template_text("script.js")
    evaluate, describe, model = (plain[key] or {} for key in ("evaluate", "describe", "model"))
    return (
        _templates()
        .get_template("report.html")
        .render(
            facts=plain,
            sections=_sections(plain, drawings),
            subtitle=_subtitle(plain),
            drawings=drawings,
            data=Markup(embed_json(_browser_data(plain, drawings))),  # escaped there
            style=Markup(_template_text("style.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            table=list_features(evaluate) if evaluate else None,
            summary=evaluate.get("site_effects", {}).get("summary"),
            distributions=evaluate.get("distributions"),
            predictability=evaluate.get("predictability"),
            accuracy_after=accuracy_after(evaluate.get("predictability") or {}),
            accuracy_note=footnote(evaluate.get("predictability") or {}),
            biology=evaluate.get("biology"),
            **_people_parts(evaluate),
            sites_table=list_sites(describe) if describe else None,
            outliers=_outliers(describe),
            plain_sentences=_sentences(describe),
            values_table=list_values(describe),
            **_method_parts(model),
            paragraphs=_paragraphs(model.get("methods_text")),
            p_legend=p_legend(),
        )
    )


def write_report(facts: Facts, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Write the report to a file, completely or not at all.

    Parameters
    ----------
    facts : mapping
        From `collect_facts`.
    path : path-like
        Name of the HTML file.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False.
    """
    target = Path(path)
    page = render_report(facts).encode("utf-8", errors="replace")
    write_atomically(target, page, overwrite=overwrite)
    return target


def embed_json(value: Any) -> str:
    r"""Write JSON that no browser can mistake for markup.

    Parameters
    ----------
    value : object
        What JSON can hold.

    Returns
    -------
    str
        ASCII without ``<``, ``>`` and ``&``.

    Examples
    --------
    >>> embed_json({"site": "</script>"})
    '{"site":"\\u003c/script\\u003e"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_NO_MARKUP)


def _draw(facts: Facts) -> dict[str, Drawing]:
    drawings: dict[str, Drawing] = {}
    evaluate, model, describe = facts["evaluate"], facts["model"], facts["describe"]
    if facts["features"] and not site_medians(facts["features"], "before").empty:
        drawings["medians"] = draw_site_medians(facts["features"])
    if evaluate:
        drawings["effects"] = draw_site_effects(evaluate)
        if evaluate.get("distributions"):
            drawings["ks"] = draw_ks(evaluate["distributions"])
        terms = (evaluate.get("biology") or {}).get("terms")
        if terms:
            drawings["slopes"] = draw_slopes(terms, evaluate["features"])
        people = evaluate.get("people")
        if people and has_ratios(people["changes"]):
            drawings["people"] = draw_people(people["changes"])
    if model and model.get("site_effects"):
        drawings["model"] = draw_model_effects(model["site_effects"])
    if describe and describe.get("covariates"):
        drawings["covariates"] = draw_covariates(describe)
    return drawings | _draw_method(model or {})


def _draw_method(model: Facts) -> dict[str, Drawing]:
    """What only some methods have: curves, components, spread, subjects."""
    drawings: dict[str, Drawing] = {}
    if model.get("curves"):
        drawings |= {drawing["name"]: drawing for drawing in draw_curves(model["curves"])}
    if model.get("components"):
        drawings |= draw_components(model["components"])
    if model.get("spread"):
        drawings["spread"] = draw_spread(model["spread"])
    if model.get("subjects"):
        drawings["subjects"] = draw_subjects(model["subjects"])
    return drawings


def _method_parts(model: Facts) -> dict[str, Any]:
    lists = {"curves": list_curves, "spread": list_spread, "subjects": list_subjects}
    tables = {name: write(model[name]) for name, write in lists.items() if model.get(name)}
    return {"method_tables": tables}


def _people_parts(evaluate: Facts) -> dict[str, Any]:
    people = evaluate.get("people")
    return {
        "people": people,
        "people_sentences": say_changes(people) if people else [],
        "people_table": list_people(people["changes"], evaluate["features"]) if people else None,
    }


def _sections(facts: Facts, drawings: Mapping[str, Drawing]) -> list[dict[str, str]]:
    evaluate, model = facts["evaluate"] or {}, facts["model"] or {}
    present = {
        "summary": ("Summary", True),
        "features": ("Features", facts["features"]),
        "effects": ("Site effects", drawings.keys() & {"effects", "medians", "model"}),
        "distributions": (
            "Distributions",
            evaluate.get("distributions") or evaluate.get("predictability"),
        ),
        "biology": ("Biology", evaluate.get("biology")),
        "people": ("People", evaluate.get("people")),
        **{name: (title, model.get(name)) for name, title in _METHOD_SECTIONS.items()},
        "sample": ("Sample", facts["describe"]),
        "methods": ("Methods", facts["model"]),
    }
    return [{"id": key, "name": name} for key, (name, there) in present.items() if there]


def _subtitle(facts: Facts) -> str:
    parts = []
    size = facts["evaluate"] or facts["describe"]
    if size:
        features = size["features"]
        people = size.get("people")
        whose = f" of {whose_scans(people)}" if people else ""
        parts += [count(size["scans"], "scan") + whose, count(size["sites"], "site")]
        parts.append(count(features, "feature"))
    if facts["model"]:
        parts.append(_method(facts["model"]))
    return " · ".join(parts)


def _method(model: Facts) -> str:
    curves = [told["covariate"] for told in (model.get("curves") or {}).get("drawn", ())]
    kept = [model["preserve"]] if model.get("preserve") else []
    kept += [f"a curve of {name}" for name in dict.fromkeys(curves)]
    return str(model["method"]) + (f", preserving {' and '.join(kept)}" if kept else "")


def _browser_data(facts: Facts, drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    return {
        "features": facts["features"],
        "numbers": list_changes(facts["evaluate"]) if facts["evaluate"] else {},
        "curves": ((facts["model"] or {}).get("curves") or {}).get("drawn", []),
        "panels": {name: drawing["panels"] for name, drawing in drawings.items()},
    }


def _sentences(describe: Facts) -> list[str]:
    """Units and codes for missing that a person should look at."""
    return [item["sentence"] for key in ("sentinels", "units") for item in describe.get(key) or ()]


def _outliers(describe: Facts) -> list[dict[str, Any]]:
    scans = (describe.get("outliers") or {}).get("scans") or ()
    named = [{**scan, "worst": _named(scan.get("worst") or ())} for scan in scans]
    return sorted(named, key=lambda scan: -(scan["share"] or 0))


def _named(worst: Any) -> str:
    names = [item["feature"] if isinstance(item, Mapping) else str(item) for item in worst]
    return ", ".join(names[:3])


def _paragraphs(text: Any) -> list[str]:
    parts = text.split("\n\n") if isinstance(text, str) else text or []
    return [part for part in parts if part.strip()]


def _option(value: Any) -> str:
    """Write the value of an option as a person would."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_option(part)}" for name, part in value.items())
    return ", ".join(map(_option, value)) if isinstance(value, list) else str(value)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("isoscan.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(percent=percent, number=number, plain_term=plain_term, words=_WORDS)
    environment.globals.update(option=_option)
    return environment


@cache
def _template_text(name: str) -> str:
    return (files("isoscan.report") / "templates" / name).read_text(encoding="utf-8")
