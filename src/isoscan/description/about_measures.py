"""Say what was found in the measures: sites, missing values, units, outliers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from isoscan.description.extremes import FAR
from isoscan.description.plain import Facts, in_words, percent
from isoscan.description.sentences import Finding, largest_first, say, with_detail
from isoscan.description.sentinels import reason_for
from isoscan.errors import count, name_some

SMALL_SITE = 10
"""Scans below which a site's own estimate counts little against the prior."""


def findings_about_measures(facts: Facts) -> Iterator[Finding]:
    """Say what was found in the measures.

    Parameters
    ----------
    facts : dict
        Facts from `isoscan.description.describe`, without findings.

    Yields
    ------
    dict
        level, code and sentence.
    """
    for section in (
        _about_sites,
        _about_values,
        _about_sentinels,
        _about_units,
        _about_extremes,
        _about_constant,
        _about_outliers,
    ):
        yield from section(facts)


def _about_sites(facts: Facts) -> Iterator[Finding]:
    sites = facts["sites"]
    if len(sites) == 1:
        yield say(
            "problem",
            "one-site",
            f"All scans ({facts['scans']}) come from one site, {name_some(sites)}: there is "
            f"nothing to harmonize.",
        )
        return
    single = [site for site, n in sites.items() if n == 1]
    if single:
        yield say(
            "problem",
            "single-scan-site",
            f"{count(single, 'site')} with 1 scan: {name_some(single)}. A site's spread cannot be "
            f"estimated from one scan: leave it out, merge it, or adjust means only.",
        )
    small = [(site, n) for site, n in sites.items() if 1 < n < SMALL_SITE]
    if small:
        yield say(
            "warning",
            "small-site",
            f"{count(small, 'site')} with fewer than {SMALL_SITE} scans: {with_detail(small)}. "
            f"What is typical for all features dominates the site's own estimate.",
        )
    for alike in facts["lookalike_sites"]:
        yield say(
            "warning",
            "lookalike-sites",
            f"Site labels {name_some(alike)} differ only by case or space and count as "
            f"{len(alike)} sites. If they are one, rename them.",
        )


def _about_values(facts: Facts) -> Iterator[Finding]:
    if not facts["features"]:
        yield say("problem", "no-features", "There are no measures. Was every column left out?")
    if facts["infinite"]:
        found = [(item["scan"], item["feature"]) for item in facts["infinite"]]
        yield say(
            "problem",
            "infinite",
            f"{count(found, 'value')} infinite: {with_detail(found)}. Correct them, or set "
            f"them to n/a.",
        )
    missing = facts["missing"]
    if missing["empty_features"]:
        empty = missing["empty_features"]
        yield say(
            "warning",
            "empty-feature",
            f"{count(empty, 'feature')} without any value: {name_some(empty)}. Leave them out.",
        )
    if missing["empty_scans"]:
        empty = missing["empty_scans"]
        yield say(
            "problem",
            "empty-scan",
            f"{count(empty, 'scan')} without any value: {name_some(empty)}. Leave them out.",
        )
    if missing["cells"]:
        sites = missing["sites"]
        yield say(
            "note",
            "missing",
            f"{missing['cells']} of {facts['scans'] * facts['features']} values "
            f"({percent(missing['share'])}) are missing, in "
            f"{count(missing['features'], 'feature')} and at {count(sites, 'site')}: "
            f"{with_detail(largest_first(sites))}. They stay missing; nothing is imputed.",
        )
    for group in facts["identical_scans"]:
        yield say(
            "warning",
            "identical-scans",
            f"{name_some(group)} have the same value in every feature: one scan under "
            f"{len(group)} names?",
        )


def _about_sentinels(facts: Facts) -> Iterator[Finding]:
    """One sentence per column; features that share a code share a sentence."""
    by_code: dict[float, list[Facts]] = defaultdict(list)
    for item in facts["sentinels"]:
        by_code[item["value"]].append(item)
    for code, items in by_code.items():
        if len(items) <= 3:
            yield from (say("problem", "sentinel", item["sentence"]) for item in items)
            continue
        scans = {scan for item in items for scan in item["scans"]}
        yield say(
            "problem",
            "sentinel",
            f"{code:g} stands in {len(items)} columns "
            f"({name_some(item['column'] for item in items)}) of {count(scans, 'scan')} "
            f"({name_some(sorted(scans), 3)}), far from the rest: {reason_for(code)} "
            f"Replace it by n/a.",
        )


def _about_units(facts: Facts) -> Iterator[Finding]:
    for item in facts["units"]:
        yield say("problem", "units", item["sentence"])


def _about_extremes(facts: Facts) -> Iterator[Finding]:
    impossible: dict[str, list[Facts]] = defaultdict(list)
    for item in facts["extremes"]:
        if item["impossible"]:
            impossible[item["feature"]].append(item)
    for feature, items in impossible.items():
        if len(items) == 1:
            yield say("problem", "impossible-value", items[0]["sentence"])
            continue
        named = [(item["scan"], f"{item['site']}, {in_words(item['value'])}") for item in items]
        yield say(
            "problem",
            "impossible-value",
            f"{feature} is impossible for {count(items, 'scan')}: {with_detail(named, 10)}; "
            f"typical is {_typical(items)}. Check or leave out these scans.",
        )
    far = [item for item in facts["extremes"] if not item["impossible"]]
    if len(far) == 1:
        yield say("warning", "extreme-value", far[0]["sentence"])
    elif far:
        yield say("warning", "extreme-value", _many_extremes(far))


def _typical(items: list[Facts]) -> str:
    values = sorted(item["typical"] for item in items if item["typical"] is not None)
    low, high = in_words(values[0]), in_words(values[-1])
    return low if low == high else f"{low} to {high}, depending on site"


def _many_extremes(far: list[Facts]) -> str:
    features: dict[str, list[str]] = defaultdict(list)
    for item in far:
        features[item["scan"]].append(item["feature"])
    ranked = sorted(features.items(), key=lambda item: -len(item[1]))
    named = [
        (scan, own[0] if len(own) == 1 else f"{len(own)}, first {own[0]}") for scan, own in ranked
    ]
    return (
        f"{count(far, 'value')} of {count(features, 'scan')} lie more than {FAR:g} robust SD from "
        f"their site and from all sites: {with_detail(named)}. Look at these scans."
    )


def _about_constant(facts: Facts) -> Iterator[Finding]:
    by_site: dict[str, list[str]] = defaultdict(list)
    for item in facts["constant_within_site"]:
        by_site[item["site"]].append(item["feature"])
    judged = facts["features"] - len(facts["constant_features"])
    whole = sorted(site for site, features in by_site.items() if len(features) == judged)
    if whole:
        yield say(
            "problem",
            "constant-site",
            f"No feature varies within {count(whole, 'site')}: {name_some(whole)}. Their spread "
            f"cannot be estimated: leave them out.",
        )
    partly = sorted(site for site in by_site if site not in whole)
    if partly:
        features = sorted({name for site in partly for name in by_site[site]})
        yield say(
            "warning",
            "constant-within-site",
            f"{count(features, 'feature')} without spread within {count(partly, 'site')}, though "
            f"not elsewhere: {name_some(features)}. Sites: {name_some(partly)}. Their scale "
            f"cannot be adjusted there.",
        )
    if facts["constant_features"]:
        names = facts["constant_features"]
        yield say(
            "note",
            "constant-feature",
            f"{count(names, 'feature')} with the same value for all scans: {name_some(names)}. "
            f"Left as is.",
        )


def _about_outliers(facts: Facts) -> Iterator[Finding]:
    outliers = facts["outliers"]
    rule = outliers["rule"]
    found = outliers["scans"]
    words = f"at least {percent(rule['share'])} of features beyond {rule['sd']:g} SD"
    if facts["features"] * rule["share"] <= 1:
        words += f"; of {count(facts['features'], 'feature')}, one is enough"
    if found:
        by_site: dict[str, int] = defaultdict(int)
        for item in found:
            by_site[item["site"]] += 1
        rounds = max(item["round"] for item in found)
        yield say(
            "warning",
            "outlying-scans",
            f"{len(found)} of {count(facts['scans'], 'scan')} "
            f"({percent(len(found) / facts['scans'])}) stand out within their own site ({words}, "
            f"{count(rounds, 'round')}): {with_detail(largest_first(by_site))}. None is removed.",
        )
    elif facts["features"] and len(outliers["not_checked"]) < len(facts["sites"]):
        yield say("good", "no-outlying-scans", f"No scan stands out within its site ({words}).")
    if outliers["not_checked"]:
        sites = [(site, facts["sites"][site]) for site in outliers["not_checked"]]
        yield say(
            "note",
            "outliers-not-checked",
            f"{count(sites, 'site')} too small to look for outlying scans (fewer than "
            f"{rule['smallest_site']}): {with_detail(sites)}.",
        )
