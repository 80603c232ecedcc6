"""What `isoscan pool` found, in sentences and small tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from isoscan.errors import count, name_some
from isoscan.pooling import MegaAnalysis, MetaAnalysis, PoolingComparison, SiteEffects
from isoscan.pooling.site_table import KINDS

SHOWN = 10
COLUMNS = ("k", "effect", "low", "high", "p", "p_adjusted", "I2")


def tell_effects(effects: SiteEffects) -> list[str]:
    """Say what was asked at each site, and what could not be answered."""
    versus = f" ({effects.groups[1]} minus {effects.groups[0]})" if effects.groups else ""
    lines = [
        f"{effects.contrast}{versus}: {KINDS[effects.kind]}, "
        f"{count(effects.features, 'measure')}, {count(effects.sites, 'site')}; regression within "
        f"sites: {effects.formula}"
    ]
    for (term, reason), rows in effects.left_out.groupby(["term", "reason"], sort=False):
        lines.append(f"Not adjusted for {term} at {_some_sites(rows)}: {reason}.")
    return lines


def tell_skipped(skipped: pd.DataFrame) -> list[str]:
    """Say which sites lack what, one line per reason."""
    lines = []
    for reason, rows in skipped.groupby("reason", sort=False):
        names = rows["feature"].unique()
        listed = f" ({name_some(names, 4)})" if len(names) <= 4 else ""
        lines.append(
            f"Left out: {count(names, 'measure')}{listed} at {_some_sites(rows)}: {reason}."
        )
    return lines


def _some_sites(rows: pd.DataFrame) -> str:
    sites = rows["site"].unique()
    return f"{count(sites, 'site')} ({name_some(sites, 3)})"


def tell_pooled(pooled: MetaAnalysis, without: pd.DataFrame) -> list[str]:
    """Say how effects were pooled, how many are there, and which site carries them."""
    p = pooled.table["p"].dropna()
    found = f"p < 0.05 for {int((p < 0.05).sum())} of {count(p, 'measure')}"
    if "p_adjusted" in pooled.table:
        found += f", {int((pooled.table['p_adjusted'] < 0.05).sum())} after adjustment"
    return [f"Pooled: {pooled.conventions}", f"{found}.", *_tell_influence(without)]


def _tell_influence(without: pd.DataFrame) -> list[str]:
    moved = without[without["moves_effect"]]
    if moved.empty:
        return []
    often = moved["site"].value_counts()
    return [
        f"Leaving out one site moves the effect by more than its standard error for "
        f"{count(moved['feature'].unique(), 'measure')}, most often '{often.index[0]}' "
        f"({count(int(often.iloc[0]), 'measure')}); see leave_one_out.tsv."
    ]


def tell_model(found: MegaAnalysis) -> list[str]:
    """Say what a model over all scans assumes, and where its fit is singular."""
    lines = [f"Mega-analysis, {found.conventions}"]
    singular = int(found.table["singular"].sum())
    if singular:
        lines.append(
            f"Singular fit of {count(singular, 'measure')}: sites do not differ there beyond "
            f"chance."
        )
    return lines


def list_strategies(compared: PoolingComparison) -> pd.DataFrame:
    """How many effects each strategy finds, how wide it is, and what it assumes."""
    p, se = compared.wide("p"), compared.wide("se")
    assumes = compared.wide("assumes").iloc[0]
    rows = [
        (
            name,
            int((p[name] < 0.05).sum()),
            f"{(se[name] / se['mega fixed']).median():.2f}",
            str(assumes[name]),
        )
        for name in compared.strategies
    ]
    return pd.DataFrame(rows, columns=["strategy", "p < 0.05", "standard error", "assumes"])


def tell_strategies(compared: PoolingComparison) -> list[str]:
    """Say what strategies find beside each other, and how to read that."""
    lines = ["Strategies side by side (standard errors as shares of those of mega fixed, median):"]
    for name, found, wide, assumes in list_strategies(compared).itertuples(index=False):
        lines.append(f"  {name:14} {found:5} with p < 0.05, se {wide}; {assumes}")
    lines += [
        f"  {note.strategy} was not possible: {note.note}" for note in compared.notes.itertuples()
    ]
    return [*lines, "", *compared.reading]


def smallest_p(table: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> str:
    """The measures with the smallest p, as text."""
    kept = ["feature", *(name for name in columns if name in table)]
    rows = table.nsmallest(SHOWN, "p")[kept]
    return rows.to_string(index=False, float_format=lambda value: f"{value:.3g}")
