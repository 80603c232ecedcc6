"""The same effect by every way of pooling, side by side, and how to read that.

All effects are in units of the measures, so that strategies can be compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from isoscan.combat import ComBat
from isoscan.errors import ConstantFeatureWarning, IsoscanError, MissingValuesWarning, count
from isoscan.pooling.export import meanings_of
from isoscan.pooling.mega import tabulate
from isoscan.pooling.meta import MetaAnalysis, meta_analysis
from isoscan.pooling.multiplicity import Adjustment, adjust_within
from isoscan.pooling.one_model import fit_model
from isoscan.pooling.question import Question, read_question
from isoscan.pooling.reading import read_strategies
from isoscan.pooling.sites import effects_of
from isoscan.tables.write import write_table

ASSUMES: dict[str, str] = {
    "no correction": "sites do not differ in level; one effect, one residual variance",
    "meta fixed": "one effect at all sites; all else of each site is its own",
    "meta random": "effects of sites vary around a mean; all else of each site is its own",
    "mega fixed": "a level per site; one effect, one residual variance",
    "mega intercept": "levels of sites from one distribution; one effect, one residual variance",
    "mega slope": "levels and effects of sites from distributions; one residual variance",
    "ComBat": "level and spread per site, taken out beforehand; one effect; site parameters "
    "count as known",
}
_COLUMNS = "feature strategy k n effect se low high df p".split()
_MEANINGS = {
    "strategy": "how sites were pooled",
    "n": "scans",
    "effect": "effect, in units of the measure",
    "assumes": "what the strategy takes for granted",
}


@dataclass(frozen=True, repr=False)
class PoolingComparison:
    """One effect by several strategies.

    Attributes
    ----------
    table : DataFrame
        feature, strategy, k (sites), n (scans), effect, se, low, high, df, p, p_adjusted,
        assumes. A strategy that could not be followed has NaN.
    reading : tuple of str
        Sentences: what the differences mean, and what they do not.
    notes : DataFrame
        strategy, note: strategies that could not be followed, and why.
    meta : MetaAnalysis
        The random-effects meta-analysis, with the effects of the sites.
    formula : str
        The regression.
    contrast : str
        Term that was tested.
    """

    table: pd.DataFrame
    reading: tuple[str, ...]
    notes: pd.DataFrame
    meta: MetaAnalysis
    formula: str
    contrast: str

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies, in the order in which they are told.

        Returns
        -------
        tuple of str
            Names.
        """
        return tuple(ASSUMES)

    def wide(self, column: str = "effect") -> pd.DataFrame:
        """One column per strategy.

        Parameters
        ----------
        column : str
            Column of `table`.

        Returns
        -------
        DataFrame of shape (n_features, n_strategies)
            Features in their given order.
        """
        cells = self.table.pivot(index="feature", columns="strategy", values=column)
        return cells.loc[list(dict.fromkeys(self.table["feature"])), list(ASSUMES)]

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table, and what its columns mean, as TSV or CSV with a JSON sidecar.

        Parameters
        ----------
        path : path-like
            File to write.
        overwrite : bool
            Replace files that exist.
        """
        facts: dict[str, Any] = {
            "Description": f"Effect of {self.contrast} ({self.formula}) by several strategies",
            "Reading": list(self.reading),
        }
        write_table(
            self.table,
            path,
            sidecar=facts | meanings_of(self.table.columns, _MEANINGS),
            overwrite=overwrite,
        )

    def __repr__(self) -> str:
        """Say in one line what this is."""
        features = self.table["feature"].unique()
        return (
            f"<PoolingComparison: {self.contrast}, {count(features, 'feature')}, "
            f"{count(self.strategies, 'strategy', 'strategies')}>"
        )


def compare_pooling(
    measures: pd.DataFrame | ArrayLike,
    *,
    sites: pd.Series[Any] | ArrayLike,
    covariates: pd.DataFrame,
    contrast: str,
    adjust: str | None = None,
    groups: tuple[str, str] | None = None,
    min_per_group: int = 5,
    min_df: int = 5,
    drop_incomplete: bool = False,
    level: float = 0.95,
    p_adjust: Adjustment | None = "bh",
    families: Mapping[str, str] | None = None,
    combat: ComBat | None = None,
    n_jobs: int | None = None,
) -> PoolingComparison:
    """Estimate one effect by meta-analysis, mega-analysis, after ComBat, and without any.

    Parameters
    ----------
    measures : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where a scan lacks one. ComBat learns from all of them together.
    sites : Series or sequence of shape (n_scans,)
        Site labels, matched by index.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates, matched by index.
    contrast : str
        What to test, as in `site_effects`.
    adjust : str, optional
        Formula of the covariates to adjust for. ComBat preserves them and the contrast.
    groups : tuple of (str, str), optional
        Reference group and the group compared with it.
    min_per_group, min_df : int
        Sites with less are left out of the meta-analyses.
    drop_incomplete : bool
        Leave out scans that lack a covariate.
    level : float
        Coverage of the intervals.
    p_adjust : {"bh", "by", "holm", "hochberg", "bonferroni"} or None
        Adjustment of p for the number of features, within each strategy.
    families : mapping of {str: str}, optional
        Family of each feature, to adjust within.
    combat : ComBat, optional
        Its options; what it preserves is set here.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    PoolingComparison
        A tidy `table`, and its `reading` in words.

    Raises
    ------
    DesignError
        If the contrast is not one column or its groups are not told.
    TooFewSitesError
        If no feature has effects from two sites.

    References
    ----------
    .. [1] Boedhoe et al. (2019), Front Neuroinform 12:102, doi:10.3389/fninf.2018.00102.
    .. [2] Radua et al. (2020), NeuroImage 218:116956, doi:10.1016/j.neuroimage.2020.116956.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(4, (40, 40, 50), random_state=0)
    >>> found = compare_pooling(cohort.measures, sites=cohort.people.site,
    ...                         covariates=cohort.people, contrast="diagnosis",
    ...                         groups=("control", "patient"), adjust="age + C(sex)")
    >>> found.wide("se").iloc[0].round(4)[["meta random", "mega slope", "ComBat"]].tolist()
    [0.0464, 0.049, 0.0249]
    """
    question = read_question(
        measures,
        sites=sites,
        covariates=covariates,
        contrast=contrast,
        adjust=adjust,
        groups=groups,
        drop_incomplete=drop_incomplete,
    )
    effects = effects_of(
        question, kind="beta", min_per_group=min_per_group, min_df=min_df, level=level
    )
    meta = meta_analysis(effects, level=level, adjust=None)
    fixed = meta_analysis(effects, level=level, adjust=None, method="fe")
    tables = {"meta fixed": fixed.table, "meta random": meta.table}
    notes = {}
    for strategy, follow in _regressions(question, level, combat, n_jobs).items():
        try:
            tables[strategy] = follow()
        except IsoscanError as refusal:
            notes[strategy] = str(refusal)
            tables[strategy] = pd.DataFrame({"feature": question.features})
    table = _together(tables, p_adjust, families)
    said = read_strategies(table, level)
    frame = pd.DataFrame(list(notes.items()), columns=["strategy", "note"])
    return PoolingComparison(table, said, frame, meta, question.asked.formula, question.asked.name)


def _regressions(
    question: Question, level: float, combat: ComBat | None, n_jobs: int | None
) -> dict[str, Callable[[], pd.DataFrame]]:
    def follow(model: str) -> pd.DataFrame:
        return tabulate(question, fit_model(question, model, n_jobs=n_jobs), level)

    def after_combat() -> pd.DataFrame:
        harmonized = _harmonize(question, combat)
        return tabulate(harmonized, fit_model(harmonized, "none"), level)

    return {
        "no correction": lambda: follow("none"),
        "mega fixed": lambda: follow("fixed"),
        "mega intercept": lambda: follow("intercept"),
        "mega slope": lambda: follow("slope"),
        "ComBat": after_combat,
    }


def _harmonize(question: Question, combat: ComBat | None) -> Question:
    from sklearn.base import clone

    model = ComBat() if combat is None else clone(combat)
    model.set_params(preserve=question.asked.formula)
    values = pd.DataFrame(question.values, question.people.index, list(question.features))
    with warnings.catch_warnings():  # what is missing or constant shows in the other strategies
        warnings.simplefilter("ignore", MissingValuesWarning)
        warnings.simplefilter("ignore", ConstantFeatureWarning)
        harmonized = model.fit_transform(
            values,
            sites=pd.Series(question.sites, question.people.index),
            covariates=question.people,
        )
    return replace(question, values=np.asarray(harmonized, dtype=float))


def _together(
    tables: dict[str, pd.DataFrame],
    p_adjust: Adjustment | None,
    families: Mapping[str, str] | None,
) -> pd.DataFrame:
    parts = []
    for strategy, assumes in ASSUMES.items():
        part = tables[strategy].assign(strategy=strategy).reindex(columns=_COLUMNS)
        if p_adjust is not None:
            part["p_adjusted"] = adjust_within(part, p_adjust, families)
        parts.append(part.assign(assumes=assumes))
    table = pd.concat(parts, ignore_index=True)
    position = {name: at for at, name in enumerate(dict.fromkeys(table["feature"]))}
    order = np.argsort(table["feature"].map(position).to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)
