"""What differences between strategies mean, in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoscan.errors import count

SAME_EFFECT = ("meta fixed", "mega fixed", "mega intercept", "ComBat")
OWN_EFFECTS = ("meta random", "mega slope")
MUCH = 10.0
"""Percent by which standard errors after ComBat are too narrow to go without a word."""


def read_strategies(table: pd.DataFrame, level: float) -> tuple[str, ...]:
    """Say how to read strategies side by side, with the numbers of this table.

    Parameters
    ----------
    table : DataFrame
        Result of `compare_pooling`.
    level : float
        Coverage of the intervals.

    Returns
    -------
    tuple of str
        Two rules, then how far strategies agree.
    """
    effect, se, p = (
        table.pivot(index="feature", columns="strategy", values=name)
        for name in ("effect", "se", "p")
    )
    said = [_narrower(se), _optimistic(se), _agreement(effect, p, 1 - level)]
    return tuple(sentence for sentence in said if sentence)


def _narrower(se: pd.DataFrame) -> str:
    rule = (
        "Narrower is not better: 'meta fixed', 'mega fixed', 'mega intercept' and 'ComBat' take "
        "the effect to be the same at all sites; 'meta random' and 'mega slope' do not, and "
        "speak of sites beyond these."
    )
    ratio = se["mega slope"] / se["mega intercept"]
    ratio = ratio.fillna(se["meta random"] / se["meta fixed"]).dropna()
    if ratio.empty:
        return rule
    return (
        f"{rule} Here letting the effect differ makes standard errors "
        f"{ratio.median():.2f} times as wide (median over {count(ratio, 'feature')}), most for "
        f"{ratio.idxmax()} ({ratio.max():.2f} times): there, sites differ."
    )


def _optimistic(se: pd.DataFrame) -> str:
    rule = (
        "'ComBat' is optimistic: regression on harmonized measures is not charged for the site "
        "parameters that were estimated from the same scans, and it tests an effect that "
        "harmonization was told to preserve."
    )
    ratio = (se["ComBat"] / se["mega fixed"]).dropna()
    if ratio.empty:
        return rule
    share = 100 * (ratio.median() - 1)
    word = "narrower" if share < 0 else "wider"
    said = (
        f"{rule} Its standard errors are {abs(share):.1f} % {word} than with a column per site "
        f"(median)."
    )
    if share > -MUCH:
        return said
    return (
        f"{said} That is much: the contrast differs between sites, and differences between sites "
        f"count as if ComBat had not used them up."
    )


def _agreement(effect: pd.DataFrame, p: pd.DataFrame, alpha: float) -> str:
    names = [name for name in (*OWN_EFFECTS, *SAME_EFFECT) if effect[name].notna().any()]
    complete = effect[names].dropna().index
    if not len(complete):
        return ""
    signs = np.sign(effect.loc[complete, names].to_numpy())
    turned = int((signs != signs[:, :1]).any(axis=1).sum())
    found = p.loc[complete, names].to_numpy() < alpha
    everywhere, somewhere = int(found.all(axis=1).sum()), int(found.any(axis=1).sum())
    return (
        f"Of {count(complete, 'feature')}, {everywhere} "
        f"{'has' if everywhere == 1 else 'have'} p < {alpha:.2g} by every strategy that allows "
        f"for sites, {somewhere - everywhere} by some only; the sign depends on the strategy for "
        f"{turned}."
    )
