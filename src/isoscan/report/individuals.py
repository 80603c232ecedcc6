"""Leave single people out of the facts: no name of a scan, no value that stands for one scan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_ITEM = r"'([^']*)'(?: \([^()]*\))?"
_LIST = re.compile(rf"(: | \()?{_ITEM}(?:, {_ITEM})*(?: and (\d+) more)?(\))?")
_WORD = re.compile(r"(?=\S*\d)(?=\S*[^\W\d])[\w.+-]*\w")  # letters and digits, as ids have
_LISTS = ("scans", "notes", "empty_scans", "identical_scans")


def leave_out_individuals(facts: Any, scans: Iterable[object]) -> Any:
    """Take names of scans and lists of single scans out of facts.

    What is counted over scans stays: how many stand out, in which feature, at which site;
    and so does the range of each site.

    Parameters
    ----------
    facts : dict
        Facts of any step, or all of them.
    scans : iterable
        Names of all scans.

    Returns
    -------
    dict
        The same; lists of single scans are empty, sentences speak of numbers of scans.

    Examples
    --------
    >>> facts = {"sentence": "2 scans are odd: 'sub-1' (9.1), 'sub-2' (8). Look at them."}
    >>> leave_out_individuals(facts, ["sub-1", "sub-2"])
    {'sentence': '2 scans are odd. Look at them.'}
    """
    return _clean(facts, {str(scan) for scan in scans})


def _clean(value: Any, names: set[str], key: str = "") -> Any:
    if isinstance(value, Mapping) and key == "outlying":
        return {when: part and _emptied(part) for when, part in value.items()}
    if isinstance(value, Mapping):
        return {name: _clean(part, names, str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        kept = () if key in _LISTS else value
        return [_clean(part, names, key) for part in kept if not _is_about_a_scan(part)]
    return _reword(value, names) if isinstance(value, str) else value


def _is_about_a_scan(item: Any) -> bool:
    return isinstance(item, Mapping) and "scan" in item


def _emptied(features: Any) -> list[list[list[Any]]]:
    """No scan outside the box, for every feature and site."""
    return [[[] for _ in sites] for sites in features]


def _reword(sentence: str, names: set[str]) -> str:
    reworded = _LIST.sub(lambda found: _counted(found, names), sentence)
    reworded = _WORD.sub(lambda word: "a scan" if word[0] in names else word[0], reworded)
    for name in names if "'" in reworded else ():  # with signs that the patterns do not know
        reworded = reworded.replace(f"'{name}'", "a scan")
    return reworded


def _counted(found: re.Match[str], names: set[str]) -> str:
    """Drop a list that follows a colon or stands in brackets; count any other."""
    quoted = re.findall(r"'([^']*)'", found[0])
    if not names.intersection(quoted):
        return found[0]
    start, more, end = found[1] or "", found[4], found[5] or ""
    if start == ": ":
        return end
    if start and end:
        return ""
    number = len(quoted) + int(more or 0)
    return f"{start}{number} {'scan' if number == 1 else 'scans'}{end}"
