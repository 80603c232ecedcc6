"""One model for the scans of all sites: what a meta-analysis does in two steps, in one.

Four models differ in what they let sites differ by: a level of their own ("fixed"), a
level drawn from a distribution ("intercept"), that and an effect of their own ("slope"),
a level and a residual variance of their own ("heteroscedastic").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from isoscan.errors import DataError, TooFewSitesError, count, name_some
from isoscan.pooling.export import meanings_of
from isoscan.pooling.multiplicity import ADJUSTMENTS, Adjustment, adjust_within
from isoscan.pooling.one_model import Fitted, count_scans, fit_model
from isoscan.pooling.pooled import significance
from isoscan.pooling.question import Question, read_question
from isoscan.tables.write import write_table

Model = Literal["fixed", "intercept", "slope", "heteroscedastic"]
MODELS: dict[str, str] = {
    "fixed": "every site has a level of its own; one effect, one residual variance",
    "intercept": "levels of sites are drawn from one distribution; one effect, one residual "
    "variance",
    "slope": "levels and effects of sites are drawn from distributions; one residual variance",
    "heteroscedastic": "every site has a level and a residual variance of its own; one effect",
}
FEW_SITES = 5


@dataclass(frozen=True, repr=False)
class MegaAnalysis:
    """Effects of one model over all scans, one row per feature.

    Attributes
    ----------
    table : DataFrame
        feature, k (sites), n, n1 and n2 for groups, effect (in units of the measure), se,
        low, high, statistic, df, p, log10_p, p_adjusted, tau2 (variance of the effect
        between sites; 0 where the model takes it as 0), site_variance (variance of the
        levels of sites; NaN where the model has none), residual_variance (NaN where every
        site has its own) and singular (whether a variance is 0 or effects and levels
        determine each other).
    model : str
        One of `MODELS`.
    formula : str
        The regression within sites.
    contrast : str
        Term that was tested.
    groups : tuple of (str, str) or None
        Reference and compared group.
    sites : tuple of str
        Sites.
    level : float
        Coverage of the intervals.
    adjustment : str or None
        How p values were adjusted.
    correlated : bool
        Whether levels and effects of sites may be correlated; for model "slope".
    notes : DataFrame
        feature, note: where the fit lies on a boundary or was not possible.
    left_out : DataFrame
        site, term, reason: scans without a covariate.
    site_sd : DataFrame of shape (n_sites, n_features) or None
        Residual standard deviation of each site; for model "heteroscedastic".
    redundant : tuple of str
        Covariates that the levels of sites determine, such as the field strength: they change
        nothing in the models "fixed" and "heteroscedastic".
    """

    table: pd.DataFrame
    model: str
    formula: str
    contrast: str
    groups: tuple[str, str] | None
    sites: tuple[str, ...]
    level: float
    adjustment: str | None
    correlated: bool
    notes: pd.DataFrame
    left_out: pd.DataFrame
    site_sd: pd.DataFrame | None = None
    redundant: tuple[str, ...] = ()

    @property
    def conventions(self) -> str:
        """How the numbers were computed, in one sentence for a methods section.

        Returns
        -------
        str
            The sentence.
        """
        how = {
            "fixed": "least squares with a column per site",
            "intercept": "REML, degrees of freedom by Satterthwaite",
            "slope": "REML, degrees of freedom by Satterthwaite, "
            + ("levels and effects correlated" if self.correlated else "levels and effects apart"),
            "heteroscedastic": "REML, degrees of freedom by Welch and Satterthwaite",
        }
        by = ADJUSTMENTS.get(self.adjustment or "")
        adjusted = f"; p adjusted over features ({by})" if by else ""
        redundant = f"; sites determine {name_some(self.redundant)}" if self.redundant else ""
        return (
            f"{self.formula} over {count(self.sites, 'site')}: {MODELS[self.model]} "
            f"({how[self.model]}{redundant}); {100 * self.level:g} % intervals{adjusted}."
        )

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
            "Description": f"Effect of {self.contrast}: {self.conventions}",
            "Sites": list(self.sites),
        }
        write_table(
            self.table,
            path,
            sidecar=facts | meanings_of(self.table.columns, MEANINGS),
            overwrite=overwrite,
        )

    def __repr__(self) -> str:
        """Say in one line what this is."""
        return f"<MegaAnalysis: {count(len(self.table), 'feature')}; {self.conventions}>"


MEANINGS = {
    "effect": "effect, in units of the measure",
    "n": "scans",
    "tau2": "variance of the effect between sites; 0 where the model takes it as 0",
    "site_variance": "variance of the levels of sites",
    "residual_variance": "variance within sites that the regression leaves",
    "singular": "whether a variance is estimated as 0",
}


def mega_analysis(
    measures: pd.DataFrame | ArrayLike,
    *,
    sites: pd.Series[Any] | ArrayLike,
    covariates: pd.DataFrame,
    contrast: str,
    adjust: str | None = None,
    groups: tuple[str, str] | None = None,
    model: Model = "intercept",
    correlated: bool = True,
    drop_incomplete: bool = False,
    level: float = 0.95,
    p_adjust: Adjustment | None = "bh",
    families: Mapping[str, str] | None = None,
    n_jobs: int | None = None,
) -> MegaAnalysis:
    """Estimate one effect from the scans of all sites, feature by feature.

    Parameters
    ----------
    measures : DataFrame or array of shape (n_scans, n_features)
        Measures; NaN where a scan lacks one.
    sites : Series or sequence of shape (n_scans,)
        Site labels, matched by index.
    covariates : DataFrame of shape (n_scans, n_covariates)
        Covariates, matched by index.
    contrast : str
        What to test, as in `site_effects`.
    adjust : str, optional
        Formula of the covariates to adjust for; their effects are the same at all sites.
    groups : tuple of (str, str), optional
        Reference group (n1) and the group compared with it (n2).
    model : {"intercept", "fixed", "slope", "heteroscedastic"}
        What sites may differ by. Only "slope" lets the effect differ between sites, as a
        random-effects meta-analysis does; the others take it to be the same everywhere.
    correlated : bool
        Whether levels and effects of sites may be correlated; for "slope".
    drop_incomplete : bool
        Leave out scans that lack a covariate; they are counted in `left_out`.
    level : float
        Coverage of the intervals.
    p_adjust : {"bh", "by", "holm", "hochberg", "bonferroni"} or None
        Adjustment of p for the number of features.
    families : mapping of {str: str}, optional
        Family of each feature, to adjust within.
    n_jobs : int, optional
        Number of threads; None for all processors.

    Returns
    -------
    MegaAnalysis
        Its `table` has one row per feature, in units of the measures.

    Raises
    ------
    TooFewSitesError
        If there are fewer than two sites.
    DesignError
        If the contrast is not one column or its groups are not told, or if a covariate is
        determined by others.
    DataError
        If an option is unknown.

    Notes
    -----
    "fixed" and "heteroscedastic" compare people within sites only. "intercept" also
    learns, a little, from differences between sites with more and with fewer patients.

    References
    ----------
    .. [1] Boedhoe et al. (2019), Front Neuroinform 12:102, doi:10.3389/fninf.2018.00102.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(3, (30, 40, 50), random_state=0)
    >>> found = mega_analysis(cohort.measures, sites=cohort.people.site,
    ...                       covariates=cohort.people, contrast="diagnosis",
    ...                       groups=("control", "patient"), adjust="age + C(sex)")
    >>> found.table[["n1", "n2", "effect", "se"]].round(3)
       n1  n2  effect     se
    0  80  40  -0.010  0.020
    1  80  40  -0.043  0.032
    2  80  40  -0.062  0.019
    """
    if model not in MODELS:
        raise DataError(f"'{model}' is no model: {name_some(MODELS)}.")
    if p_adjust is not None and p_adjust not in ADJUSTMENTS:
        raise DataError(f"'{p_adjust}' is no adjustment: {name_some(ADJUSTMENTS)}.")
    if not 0 < level < 1:
        raise DataError(f"level is the coverage of intervals, between 0 and 1, not {level}.")
    question = read_question(
        measures,
        sites=sites,
        covariates=covariates,
        contrast=contrast,
        adjust=adjust,
        groups=groups,
        drop_incomplete=drop_incomplete,
    )
    found = fit_model(_several_sites(question), model, correlated=correlated, n_jobs=n_jobs)
    table = tabulate(question, found, level)
    if p_adjust is not None:
        position = table.columns.tolist().index("log10_p") + 1
        table.insert(position, "p_adjusted", adjust_within(table, p_adjust, families))
    return _assemble(question, found, table, model, level, p_adjust, correlated)


def tabulate(question: Question, found: Fitted, level: float) -> pd.DataFrame:
    """One row per feature: counts, the effect, its test, and the variances.

    Parameters
    ----------
    question : Question
        What was asked.
    found : Fitted
        What a model answered.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        See `MegaAnalysis`.
    """
    with np.errstate(invalid="ignore"):
        tested = significance(found.effect, found.se, found.df, level)
    return pd.DataFrame(
        {"feature": question.features}
        | count_scans(question)
        | {"effect": found.effect, "se": found.se}
        | tested
        | {
            "tau2": found.tau2,
            "site_variance": found.site_variance,
            "residual_variance": found.residual_variance,
            "singular": found.singular,
        }
    )


def _several_sites(question: Question) -> Question:
    names = pd.unique(question.sites)
    if len(names) < 2:
        raise TooFewSitesError(
            f"there is only {count(names, 'site')} ({name_some(names)}): a mega-analysis "
            f"compares sites. Regress without them, or add a site."
        )
    return question


def _assemble(
    question: Question,
    found: Fitted,
    table: pd.DataFrame,
    model: str,
    level: float,
    adjustment: str | None,
    correlated: bool,
) -> MegaAnalysis:
    asked = question.asked
    names = tuple(str(name) for name in pd.unique(question.sites))
    site_sd = found.site_sd
    return MegaAnalysis(
        table=table,
        model=model,
        formula=asked.formula,
        contrast=asked.name,
        groups=asked.groups,
        sites=names,
        level=level,
        adjustment=adjustment,
        correlated=correlated,
        notes=_notes(table, found, model),
        left_out=pd.DataFrame(
            [
                (site, term, f"{count(scans, 'scan')} without it left out")
                for (site, term), scans in question.incomplete.items()
            ],
            columns=["site", "term", "reason"],
        ),
        site_sd=None
        if site_sd is None
        else pd.DataFrame(site_sd, list(names), list(question.features)),
        redundant=tuple(found.redundant),
    )


def _notes(table: pd.DataFrame, found: Fitted, model: str) -> pd.DataFrame:
    notes = found.notes.copy()
    boundary = {
        "intercept": "singular fit: levels of sites do not differ beyond chance",
        "slope": "singular fit: effects of sites do not differ beyond chance, or determine "
        "and are determined by the levels",
    }
    if model in boundary:
        at_boundary = np.flatnonzero(found.singular & np.isfinite(found.se))
        notes |= dict.fromkeys(at_boundary.tolist(), boundary[model])
        for row in np.flatnonzero((table["k"] < FEW_SITES) & table["se"].notna()):
            few = f"{count(int(table['k'].iloc[row]), 'site')}: variance between sites is hardly "
            notes[int(row)] = "; ".join(filter(None, [notes.get(int(row)), few + "estimable"]))
    rows = [(table["feature"].iloc[row], notes[row]) for row in sorted(notes)]
    return pd.DataFrame(rows, columns=["feature", "note"])
