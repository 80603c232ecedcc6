"""Say what was found in the covariates: confounding, empty cells, overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from isoscan.description.plain import Facts, in_words, percent
from isoscan.description.sentences import Finding, as_sentence, say, with_detail
from isoscan.errors import count, name_some


def findings_about_covariates(facts: Facts) -> Iterator[Finding]:
    """Say what was found in the covariates.

    Parameters
    ----------
    facts : dict
        Facts from `isoscan.description.describe`, without findings.

    Yields
    ------
    dict
        level, code and sentence.
    """
    for section in (_about_design, _about_categories, _about_overlap, _about_covariates):
        yield from section(facts)


def _about_design(facts: Facts) -> Iterator[Finding]:
    design = facts["confounding"]
    by_scans: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in design["incomplete"]:
        by_scans[tuple(item["scans"])].append(item["covariate"])
    for scans, names in by_scans.items():
        yield say(
            "problem",
            "incomplete-covariate",
            f"{name_some(names)} {'is' if len(names) == 1 else 'are'} to be preserved but missing "
            f"for {len(scans)} of {count(facts['scans'], 'scan')}: {name_some(scans)}. Fill in, or "
            f"leave these scans out.",
        )
    if design["unusable"]:
        yield say("problem", "unusable-formula", as_sentence(design["unusable"]))
    columns = design["columns"] + len(facts["sites"])
    if design["columns"] and facts["scans"] <= columns:
        yield say(
            "problem",
            "too-many-terms",
            f"The formula and the sites need {columns} columns, and there are "
            f"{count(facts['scans'], 'scan')}: nothing is left to measure the noise.",
        )
    for item in design["aliased"]:
        yield say("problem", "aliased", as_sentence(item["sentence"]))
    for item in design["near"]:
        yield say("warning", "near-aliased", item["sentence"])
    if design["columns"] and not design["aliased"] + design["near"] and len(facts["sites"]) > 1:
        yield say(
            "good",
            "identifiable",
            f"Every term of '{design['formula']}' can be told apart from site.",
        )


def _about_categories(facts: Facts) -> Iterator[Finding]:
    found = facts["confounding"]
    single: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for item in found["single_level"]:
        single[item["column"]] += [(site, f"only {item['level']}") for site in item["sites"]]
    for column, sites in single.items():
        yield say(
            "warning",
            "single-level",
            f"{column}: {len(sites)} of {count(facts['sites'], 'site')} have one level only: "
            f"{with_detail(sorted(sites))}. Its effect there is taken from the other sites.",
        )
    alone: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for item in found["level_at_one_site"]:
        alone[item["column"]].append((item["level"], f"{item['n']} at {item['site']}"))
    for column, levels in alone.items():
        yield say(
            "warning",
            "level-at-one-site",
            f"{column}: {count(levels, 'level')} at one site only: {with_detail(levels)}. "
            f"Whether such effects are alike across sites cannot be checked.",
        )
    if found["fixed_by_site"]:
        names = found["fixed_by_site"]
        yield say(
            "note",
            "fixed-by-site",
            f"{name_some(names)} {'is' if len(names) == 1 else 'are'} the same for all scans of a "
            f"site: part of the site effect, and not to be preserved.",
        )


def _about_overlap(facts: Facts) -> Iterator[Finding]:
    for name, found in facts["overlap"].items():
        number = found["n_pairs_without_overlap"]
        ranges = found["ranges"]
        if number:
            first, second = found["limited_by"]
            yield say(
                "warning",
                "no-overlap",
                f"{name}: {count(number, 'pair')} of sites do not overlap at all, such as "
                f"'{second}' ({_range(ranges[second])}) and '{first}' ({_range(ranges[first])}). "
                f"Between them, site and {name} are told apart only if the shape of the effect "
                f"is right.",
            )
            continue
        low, high = (in_words(bound) for bound in found["common_range"])
        share = found["share_inside"]
        yield say(
            "good" if share >= 0.5 else "warning",
            "overlap" if share >= 0.5 else "little-overlap",
            f"{name}: {percent(share)} of the scans lie in the range that all sites share, "
            f"{low} to {high}" + ("." if share >= 0.5 else _limits(found["limited_by"])),
        )


def _range(bounds: list[float]) -> str:
    return " to ".join(in_words(bound) for bound in bounds)


def _limits(sites: list[str]) -> str:
    return f"; it is bounded by '{sites[0]}' from below and '{sites[1]}' from above."


def _about_covariates(facts: Facts) -> Iterator[Finding]:
    for item in facts["unreadable_covariates"]:
        comma = " Decimal comma?" if "," in item["example"] else ""
        yield say(
            "warning",
            "unreadable-covariate",
            f"{item['column']}: {count(item['n'], 'value')} not a number, e.g. "
            f"'{item['example']}'.{comma} The column is left out here.",
        )
    for column, groups in facts["lookalike_levels"].items():
        for alike in groups:
            yield say(
                "warning",
                "lookalike-levels",
                f"{column}: {name_some(alike)} differ only by case or space and count as "
                f"{len(alike)} levels.",
            )
    if facts["confounding"]["formula"] is None and facts["covariates"]:
        yield say(
            "note",
            "nothing-preserved",
            f"No covariate is named to be preserved: what {name_some(facts['covariates'])} "
            f"contribute to differences between sites will be removed with them.",
        )
