"""What became of change within people: of those who moved between sites, of those who stayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoscan.errors import count
from isoscan.evaluation.people_findings import CHANGED
from isoscan.report.colours import AFTER, BEFORE
from isoscan.report.ranks import draw_ranked, rank_features
from isoscan.report.svg import MUTED, RULE, WIDTH, Drawing, drawing_on_page
from isoscan.report.wording import is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Facts = Mapping[str, Any]


def whose_scans(people: Facts) -> str:
    """Say in a few words whose scans these are.

    Parameters
    ----------
    people : mapping
        Facts of the evaluation about people.

    Returns
    -------
    str
        Numbers of people, of those scanned more than once, and of those at several sites.

    Examples
    --------
    >>> whose_scans({"people": 40, "repeated": 36, "moved": 12})
    '40 people (36 scanned more than once, 12 at more than one site)'
    """
    moved = people["moved"] or "nobody"
    return (
        f"{count(people['people'], 'person', 'people')} ({people['repeated']} scanned more than "
        f"once, {moved} at more than one site)"
    )


def say_changes(people: Facts) -> list[str]:
    """Say what change is, whose it is, and what harmonization did to it.

    Parameters
    ----------
    people : mapping
        Facts of the evaluation about people.

    Returns
    -------
    list of str
        Sentences.
    """
    order = f"ordered by {people['ordered_by']}" if people["ordered_by"] else "in the order of rows"
    changes = people["changes"]
    return [
        f"The scans are of {whose_scans(people)}. Change is the difference between the first and "
        f"the last scan of a person, {order}, beyond what covariates explain.",
        *_of_those_who_moved(changes["moved"], changes["same_site"]["people"]),
        *_of_those_who_stayed(changes["same_site"]),
    ]


def _of_those_who_moved(moved: Facts, stayed: int) -> Iterator[str]:
    before, after = moved["summary"]["before"], moved["summary"]["after"]
    if not is_number(before):
        yield (
            f"{count(moved['people'], 'person', 'people')} moved to another site between first and "
            f"last scan and {stayed} stayed: too few to compare the size of their changes."
        )
        return
    later = f"{after:.2f} times as much" if is_number(after) else "an unknown amount"
    who = count(moved["people"], "person", "people")
    yield (
        f"Before harmonization, the {who} whose last scan is of another site than their first "
        f"changed {before:.2f} times as much as the {stayed} who stayed; after it, {later} (median "
        f"feature). Where scanners are alike it is 1."
    )


def _of_those_who_stayed(same: Facts) -> Iterator[str]:
    ratio, correlation = same["summary"]["ratio"], same["summary"]["correlation"]
    if not is_number(ratio):
        yield "Whether the changes of people who stayed were kept cannot be told: too few stayed."
        return
    alike = f", and correlates with it by {correlation:.2f}" if is_number(correlation) else ""
    yield (
        f"Change of people who stayed is {ratio:.2f} times as large as before harmonization"
        f"{alike} (medians over features). Where change is kept, both are 1."
    )


def has_ratios(changes: Facts) -> bool:
    """Tell whether there is anything to draw.

    Parameters
    ----------
    changes : mapping
        Facts of the evaluation: same_site and moved.

    Returns
    -------
    bool
        False if too few people moved, and too few stayed.
    """
    return any(map(is_number, [*changes["moved"]["before"], *changes["same_site"]["ratio"]]))


def draw_people(changes: Facts) -> Drawing:
    """Changes of people who moved against people who stayed, and of those after against before.

    Parameters
    ----------
    changes : mapping
        Facts of the evaluation: same_site and moved.

    Returns
    -------
    dict
        The drawing, with a panel for each question that can be answered.
    """
    before, after, kept = (
        np.array(part[key], dtype=float)
        for part, key in (
            (changes["moved"], "before"),
            (changes["moved"], "after"),
            (changes["same_site"], "ratio"),
        )
    )
    panels = [np.isfinite(before).any(), np.isfinite(kept).any()]
    with drawing_on_page("people", (WIDTH, 3.1)) as (figure, drawing):
        axes = list(figure.subplots(1, sum(panels), squeeze=False)[0])
        if panels[0]:
            _draw_moved(axes[0], before, after)
        if panels[1]:
            _draw_kept(axes[-1], kept)
    return drawing


def _draw_moved(axes: Axes, before: NDArray[np.float64], after: NDArray[np.float64]) -> None:
    order, rank = rank_features(before)
    axes.vlines(rank, after[order], before[order], color=RULE, linewidth=0.8, zorder=0)
    for when, values, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        axes.plot(rank, values[order], "o", color=colour, ms=3.6, mew=0, label=when)
    axes.legend(loc="upper right", frameon=False, ncols=2)
    _finish(axes, [before, after], "people who moved", "change, moved / stayed")


def _draw_kept(axes: Axes, ratio: NDArray[np.float64]) -> None:
    draw_ranked(axes, ratio, None, None, np.abs(ratio - 1) > CHANGED)
    _finish(axes, [ratio], "people who stayed", "change, after / before")


def _finish(axes: Axes, ratios: Sequence[NDArray[np.float64]], title: str, label: str) -> None:
    """Draw the line at 1, always in sight, and say what is what."""
    axes.axhline(1, color=MUTED, linewidth=1.3, zorder=0.5)
    top = max(float(np.nan_to_num(part).max()) for part in ratios)
    axes.set_ylim(0, max(1.5, 1.12 * top))
    axes.set_title(title, loc="left")
    axes.set_xlabel("features, largest first")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
