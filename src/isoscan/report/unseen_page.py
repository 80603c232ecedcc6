"""Render what is known of unknown scanners as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from isoscan.errors import count
from isoscan.report.facts import as_plain
from isoscan.report.page import _template_text, _templates, embed_json
from isoscan.report.svg import WIDTH, Drawing, drawing_on_page
from isoscan.report.unseen_figures import (
    plot_baselines,
    plot_coverage,
    plot_few_scans,
    plot_scanners,
    plot_shift_scores,
)
from isoscan.report.unseen_words import COLUMNS, plain_kept, write_interval, write_score
from isoscan.report.wording import is_number, number
from isoscan.tables.write import write_atomically

MOST_SCANS = 500
_SECTIONS = {
    "unseen_scans": "Scans",
    "unseen_scanners": "Scanners left out",
    "unseen_baselines": "Compared",
    "unseen_few": "A few scans",
    "methods": "Methods",
}

Facts = Mapping[str, Any]


def render_unseen_report(facts: Facts) -> str:
    """Render facts as one HTML page.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`, or the same read back from JSON.

    Returns
    -------
    str
        HTML with everything inside; it loads nothing.
    """
    from markupsafe import Markup

    plain = as_plain(facts)
    drawings, script = _draw(plain), _template_text("script.js")
    panels: dict[str, Any] = {name: drawing["panels"] for name, drawing in drawings.items()}
    data: dict[str, Any] = {"features": None, "numbers": {}, "curves": [], "panels": panels}
    return (
        _templates()
        .get_template("report.html")
        .render(
            facts=plain,
            sections=_sections(plain),
            subtitle=_subtitle(plain),
            drawings=drawings,
            data=Markup(embed_json(data)),  # escaped there
            style=Markup(_template_text("style.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            paragraphs=plain["model"]["methods_text"],
            scores_table=_scores_table(plain),
            meanings=list(COLUMNS.values()),
            scanners_table=_scanners_table(plain),
            scans_table=_scans_table(plain),
            people_table=[
                (plain_kept(name), write_score(name, kept))
                for name, kept in plain["people"].items()
            ],
        )
    )


def write_unseen_report(
    facts: Facts, path: str | os.PathLike[str], overwrite: bool = False
) -> Path:
    """Write the report to a file, completely or not at all.

    Parameters
    ----------
    facts : mapping
        From `collect_unseen_facts`.
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
    page = render_unseen_report(facts).encode("utf-8", errors="replace")
    write_atomically(target, page, overwrite=overwrite)
    return target


def _sections(facts: Facts) -> list[dict[str, str]]:
    there = {
        "unseen_scans": facts["applied"],
        "unseen_scanners": facts["scanners"] and not facts["training"]["calibrated"],
        "unseen_baselines": facts["baselines"],
        "unseen_few": facts["curve"],
        "methods": facts["model"],
    }
    return [
        {"id": "summary", "name": "Summary"},
        *({"id": key, "name": name} for key, name in _SECTIONS.items() if there[key]),
    ]


def _subtitle(facts: Facts) -> str:
    training = facts["training"]
    metrics = training["metrics"]
    parts = [
        f"trained on {count(training['scans'], 'scan')} of "
        f"{count(training['scanners'], 'scanner')}",
        count(training["features"], "measure"),
        f"{count(metrics, 'metric')} of image quality" if metrics else "no image quality",
        facts["model"]["method"],
    ]
    return " · ".join(parts)


def _draw(facts: Facts) -> dict[str, Drawing]:
    drawings: dict[str, Drawing] = {}
    if facts["scanners"] and not facts["training"]["calibrated"]:
        drawings["scanners"] = _draw_scanners(facts)
    if facts["baselines"]:
        with drawing_on_page("baselines", (WIDTH, 0.9 + 0.3 * len(facts["baselines"]))) as (
            figure,
            drawings["baselines"],
        ):
            plot_baselines(facts["baselines"], ax=figure.subplots())
    if facts["curve"]:
        with drawing_on_page("few", (WIDTH, 3.4)) as (figure, drawings["few"]):
            plot_few_scans(facts["curve"], ax=figure.subplots())
    applied = facts["applied"]
    if applied and applied["score"]:
        with drawing_on_page("scores", (WIDTH, 2.9)) as (figure, drawings["scores"]):
            plot_shift_scores(
                applied["score"], applied["abstained"], applied["usual"], ax=figure.subplots()
            )
    return drawings


def _draw_scanners(facts: Facts) -> Drawing:
    """Shifts, and the coverage of intervals beside them, the largest shift first."""
    table = pd.DataFrame(facts["scanners"]).sort_values("before", ascending=False)
    covered = table["coverage"].notna().any()
    height = 1.1 + 0.27 * len(table)
    with drawing_on_page("scanners", (WIDTH, height)) as (figure, drawing):
        if not covered:
            plot_scanners(table, ax=figure.subplots())
            return drawing
        left, right = figure.subplots(1, 2, width_ratios=[2.4, 1])
        plot_scanners(table, ax=left)
        names = list(table["scanner"])
        plot_coverage(list(table["coverage"]), names, facts["training"]["interval"], ax=right)
        right.tick_params(labelleft=False)
    return drawing


def _scores_table(facts: Facts) -> dict[str, Any]:
    """The comparison: scores, and beside them what is kept of people."""
    rows = facts["baselines"]
    effects = [name for name in (rows[0] if rows else {}) if name.startswith("effect of ")]
    names = [name for name in [*COLUMNS, *effects] if any(is_number(row.get(name)) for row in rows)]
    headings = [COLUMNS[name][0] if name in COLUMNS else plain_kept(name) for name in names]
    n_people = sum(name.endswith("people") or name in effects for name in names)
    return {
        "headings": headings,
        "score_columns": len(names) - n_people,
        "people_columns": n_people,
        "rows": [
            {
                "label": row["label"],
                "cells": [_cell(row, name) for name in names],
                "own": row["model"] == facts["row"],
            }
            for row in rows
        ],
    }


def _cell(row: Facts, name: str) -> dict[str, str]:
    interval = write_interval(row["low"], row["high"]) if name == "error_ratio" else ""
    return {"text": write_score(name, row.get(name), row["scanners"]), "interval": interval}


def _scanners_table(facts: Facts) -> list[dict[str, Any]]:
    names = (("before", "shift_left"), ("after", "shift_left"), ("few", "shift_left"),
             ("error_ratio", "error_ratio"), ("coverage", "coverage"))  # fmt: skip
    return [
        {
            "scanner": row["scanner"],
            "cells": [
                {"text": number(row["scans"]), "value": row["scans"]},
                *({"text": write_score(kind, row[key]), "value": row[key]} for key, kind in names),
            ],
        }
        for row in facts["scanners"]
    ]


def _scans_table(facts: Facts) -> dict[str, Any] | None:
    """Scans by name, the most unlike training first; none if they may not be named."""
    applied = facts["applied"]
    if not applied or not applied["names"]:
        return None
    columns = [
        (heading, applied[key], write)
        for heading, key, write in (
            ("Shift score", "score", _two),
            ("Mean correction (SD)", "size", _two),
            ("Half width of intervals (SD)", "width", _two),
            ("Left nearly as before", "abstained", _yes),
            ("Inputs out of range", "outside", str),
        )
        if applied[key] is not None
    ]
    order = list(range(len(applied["names"])))
    if applied["score"]:
        order.sort(key=lambda scan: -(applied["score"][scan] or 0.0))
    rows = [
        {
            "scan": applied["names"][scan],
            "cells": [
                {"text": write(values[scan]), "value": values[scan]} for _, values, write in columns
            ],
        }
        for scan in order[:MOST_SCANS]
    ]
    return {
        "headings": [heading for heading, _, _ in columns],
        "rows": rows,
        "left_out": len(order) - len(rows),
    }


def _two(value: Any) -> str:
    return f"{value:.2f}" if is_number(value) else number(None)


def _yes(value: Any) -> str:
    return "yes" if value else ""
