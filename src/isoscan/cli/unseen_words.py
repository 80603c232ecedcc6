"""What `isoscan unseen` prints: tables and sentences for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isoscan.errors import count

MOST_NAMED = 10
HEADINGS = {
    "shift_left": ("Shift left", "(SD)"),
    "error_ratio": ("Error", "left"),
    "worsened": ("Scanners", "made worse"),
    "coverage": ("Intervals", "hold"),
    "correlation of people": ("Order of", "people"),
    "spread of people": ("Spread of", "people"),
}

Facts = Mapping[str, Any]


def fit_lines(facts: Facts) -> list[str]:
    """Say what was trained, how scanners left out fared, and the verdict."""
    from isoscan.cli.findings import as_lines

    training = facts["training"]
    metrics = training["metrics"]
    trained = [
        count(training["scans"], "scan"),
        count(training["scanners"], "scanner"),
        count(training["features"], "measure"),
        f"{count(metrics, 'metric')} of image quality" if metrics else "no image quality",
    ]
    lines = [", ".join(trained), ""]
    if facts["baselines"]:
        lines += ["Each scanner left out in turn; means over scanners:", "", *_table(facts), ""]
    return [*lines, *as_lines(facts)]


def _table(facts: Facts) -> list[str]:
    """The comparison in the columns that decide."""
    from isoscan.report.unseen_words import write_score
    from isoscan.report.wording import is_number

    rows = facts["baselines"]
    names = [name for name in HEADINGS if any(is_number(row.get(name)) for row in rows)]
    headings = [["", *(HEADINGS[name][line] for name in names)] for line in (0, 1)]
    cells = [
        [row["label"], *(write_score(name, row.get(name), row["scanners"]) for name in names)]
        for row in rows
    ]
    return _aligned([*headings, *cells])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    return lines


def applied_lines(facts: Facts) -> list[str]:
    """Say how many scans were corrected, and name those that were not."""
    applied = facts["applied"]
    if facts["training"]["calibrated"] or applied["score"] is None:
        return [f"{facts['verdict']['headline']}.", *_about_total(facts)]
    scores, idle = applied["score"], applied["abstained"]
    lines = [
        f"{count(scores, 'scan')} read, {len(idle) - sum(idle)} corrected, {sum(idle)} left nearly "
        f"as they were (less than half of their correction)."
    ]
    named = zip(applied["names"], scores, idle, strict=bool(applied["names"]))
    left = sorted(((score, name) for name, score, stays in named if stays), reverse=True)
    usual = f"usual in training: below {applied['usual']:.2f}"
    lines += [f"  {name}: shift score {score:.2f} ({usual})" for score, name in left[:MOST_NAMED]]
    if len(left) > MOST_NAMED:
        lines.append(f"  and {len(left) - MOST_NAMED} more, see predictions.tsv")
    return [*lines, *_about_total(facts)]


def _about_total(facts: Facts) -> list[str]:
    """Say that corrected volumes are no longer in the unit of the others."""
    told = facts["model"]["options"]
    total, strategy = told.get("total"), told.get("total_strategy")
    if total is None:
        return []
    how = "are shares of" if strategy in ("ratio", "harmonized") else "are adjusted for"
    return [f"Corrected measures {how} {total}; other columns are as they were."]


def learned_lines(taught: Any, model: Any) -> list[str]:
    """Say what a few scans told of their scanner."""
    import numpy as np

    from isoscan.cli.unseen_tables import learned_table

    table = learned_table(taught)["learned.tsv"][0]
    scans = taught.calibration_.n_scans
    before = float(np.sqrt(np.diag(model.prior_.between)).mean())
    lines = [
        f"Learned from {count(scans, 'scan')} of the new scanner, in residual standard deviations:",
        f"  mean absolute shift {table['shift'].abs().mean():.2f}, known to "
        f"{table['shift_se'].mean():.2f} (standard error; {before:.2f} before)",
        f"  spread {table['scale'].mean():.2f} times that of training",
    ]
    largest = table["shift"].abs().nlargest(3).index
    shown = ", ".join(f"{name} {table.loc[name, 'shift']:+.2f}" for name in largest)
    return [*lines, f"  largest: {shown.replace('-', '−')}"]
