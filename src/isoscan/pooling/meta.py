"""Pool site effects into one answer per feature, and keep what led to it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from isoscan.errors import DataError, PrecisionWarning, TooFewSitesError, count, name_some
from isoscan.pooling.effect_sizes import interval
from isoscan.pooling.export import Layout, in_layout, sidecar
from isoscan.pooling.heterogeneity import METHODS, Method
from isoscan.pooling.influence import influence, leave_one_out
from isoscan.pooling.multiplicity import ADJUSTMENTS, Adjustment, adjust_within
from isoscan.pooling.pooled import TESTS, Options, pool
from isoscan.pooling.site_table import SiteEffects
from isoscan.pooling.studies import Studies, as_studies
from isoscan.tables.write import write_table

Test = Literal["z", "t", "knha", "knha-bounded"]
LARGEST_RATIO = 1e7


@dataclass(frozen=True, repr=False)
class MetaAnalysis:
    """Pooled effects, one row per feature, and the site effects behind them.

    Attributes
    ----------
    table : DataFrame
        feature, k (sites), effect, se, low, high, statistic, df, p, log10_p, p_adjusted,
        tau2, tau2_se, tau2_low, tau2_high, Q, Q_p, I2 (percent), H2, pi_low, pi_high, and
        n1, n2, n if the sites told. NaN means that it cannot be known.
    studies : Studies
        The site effects that were pooled.
    options : Options
        Estimator of tau², test, level and kind of prediction interval.
    adjustment : str or None
        How p values were adjusted.
    notes : DataFrame
        feature, note: features with too few sites to trust the answer.
    """

    table: pd.DataFrame
    studies: Studies
    options: Options
    adjustment: str | None
    notes: pd.DataFrame

    @property
    def skipped(self) -> pd.DataFrame:
        """Which site lacks which feature, and why.

        Returns
        -------
        DataFrame
            site, feature, reason.
        """
        return self.studies.skipped

    @property
    def conventions(self) -> str:
        """How the numbers were computed, in one sentence for a methods section.

        Returns
        -------
        str
            The sentence.
        """
        options = self.options
        between = "fixed effect" if options.method == "fe" else f"tau² by {METHODS[options.method]}"
        how = ADJUSTMENTS.get(self.adjustment or "")
        adjusted = f"p adjusted over features ({how}); " if how else ""
        return (
            f"{between}, {TESTS[options.test]} test, {100 * options.level:g} % intervals, tau² "
            f"interval by Q-profile; {adjusted}conventions of metafor 5.1."
        )

    def sites_of(self, feature: str) -> pd.DataFrame:
        """What a forest plot of one feature shows.

        Parameters
        ----------
        feature : str
            Name of the feature.

        Returns
        -------
        DataFrame
            site, effect, se, low, high, weight (percent), and counts if known; sites in
            their given order, those without the feature left out.

        Raises
        ------
        DataError
            If there is no such feature.
        """
        if feature not in self.studies.features:
            raise DataError(
                f"there is no feature '{feature}': {name_some(self.studies.features, 8)}."
            )
        column = self.studies.features.index(feature)
        tau2 = np.nan_to_num(self.table["tau2"].to_numpy()[column])
        effect, se = self.studies.effects[:, column], self.studies.se[:, column]
        weight = 1 / (se**2 + tau2)
        low, high = interval(effect, se, self.options.level)
        frame = pd.DataFrame(
            {
                "site": self.studies.sites,
                "effect": effect,
                "se": se,
                "low": low,
                "high": high,
                "weight": 100 * weight / np.nansum(weight),
            }
            | {name: values[:, column] for name, values in self.studies.counts.items()}
        )
        return frame[np.isfinite(effect)].reset_index(drop=True)

    def leave_one_out(self) -> pd.DataFrame:
        """Pool again without each site in turn; see `isoscan.pooling.leave_one_out`.

        Returns
        -------
        DataFrame
            One row per feature and site left out.
        """
        return leave_one_out(self.studies, self.options)

    def influence(self) -> pd.DataFrame:
        """How much each site moves the answer; see `isoscan.pooling.influence`.

        Returns
        -------
        DataFrame
            One row per feature and site.
        """
        return influence(self.studies, self.options)

    def write(
        self, path: str | Path, *, layout: Layout = "isoscan", overwrite: bool = False
    ) -> None:
        """Write the table, and what its columns mean, as TSV or CSV with a JSON sidecar.

        Parameters
        ----------
        path : path-like
            File to write.
        layout : {"isoscan", "enigma"}
            All columns, or those of the ENIGMA Toolbox: Structure, d_icv, se_icv,
            low_ci_icv, up_ci_icv, n_controls, n_patients, pobs, fdr_p.
        overwrite : bool
            Replace files that exist.
        """
        frame = in_layout(self.table, layout)
        write_table(
            frame, path, sidecar=sidecar(frame, self.conventions, self.studies), overwrite=overwrite
        )

    def __repr__(self) -> str:
        """Say in one line what this is."""
        return (
            f"<MetaAnalysis: {count(self.studies.features, 'feature')}, "
            f"{count(self.studies.sites, 'site')}; {self.conventions}>"
        )


def meta_analysis(
    effects: SiteEffects | pd.DataFrame | pd.Series[Any] | ArrayLike,
    se: pd.DataFrame | pd.Series[Any] | ArrayLike | None = None,
    *,
    method: Method | None = None,
    test: Test | None = None,
    preset: Literal["enigma"] | None = None,
    prediction: Literal["as-test", "riley"] = "as-test",
    level: float = 0.95,
    adjust: Adjustment | None = "bh",
    families: Mapping[str, str] | None = None,
) -> MetaAnalysis:
    """Pool effects of several sites, feature by feature.

    A site may lack features: it is left out there and listed in `skipped`. No subject's
    data are needed. Numbers follow metafor 5.1.

    Parameters
    ----------
    effects : SiteEffects, DataFrame, Series or array
        Result of `site_effects`; or a tidy frame with the columns site, feature, effect,
        and se or variance (n1, n2, n and kind are used if they are there); or effects as
        sites x features, NaN where a site has none, with `se` beside them.
    se : DataFrame, Series or array, optional
        Standard errors in the form of `effects`.
    method : {"reml", "fe", "dl", "he", "hs", "sj", "pm", "ml"}, optional
        Estimator of the variance between sites, REML unless told; "fe" takes it as 0.
    test : {"knha-bounded", "knha", "t", "z"}, optional
        Knapp and Hartung's test, bounded so that it is never narrower than Wald's, unless
        told; Wald's "z" for a fixed effect.
    preset : {"enigma"}, optional
        What ENIGMA's scripts do: REML with Wald's test. With few sites its intervals are
        too narrow.
    prediction : {"as-test", "riley"}
        Distribution of the prediction interval: that of the test, or t with k - 2 degrees
        of freedom.
    level : float
        Coverage of all intervals.
    adjust : {"bh", "by", "holm", "hochberg", "bonferroni"} or None
        Adjustment of p for the number of features.
    families : mapping of {str: str}, optional
        Family of each feature, to adjust within; all features are one family by default.

    Returns
    -------
    MetaAnalysis
        The pooled `table`, and methods to look behind it.

    Raises
    ------
    DataError
        If standard errors are zero, negative or infinite, or options contradict.
    TooFewSitesError
        If there are fewer than two sites.

    Warns
    -----
    PrecisionWarning
        If features have only one or two sites, or variances differ more than 10⁷-fold.

    References
    ----------
    .. [1] Knapp & Hartung (2003), Stat Med 22:2693, doi:10.1002/sim.1482.
    .. [2] Jackson et al. (2017), Stat Med 36:3923, doi:10.1002/sim.7411.
    .. [3] IntHout et al. (2014), BMC Med Res Methodol 14:25, doi:10.1186/1471-2288-14-25.

    Examples
    --------
    >>> effects = pd.DataFrame({
    ...     "site": ["KCL", "OSL", "MUC", "NYU", "HKU"],
    ...     "effect": [0.2, 0.5, 0.1, 0.8, 0.35],
    ...     "variance": [0.04, 0.02, 0.05, 0.03, 0.01],
    ... })
    >>> pooled = meta_analysis(effects)
    >>> pooled.table[["k", "effect", "low", "high", "p", "I2"]].round(3)
       k  effect   low   high      p      I2
    0  5   0.409  0.09  0.727  0.023  56.983
    """
    options = choose_options(method, test, preset, prediction, level, adjust)
    studies = as_studies(effects, se)
    _require_two_sites(studies)
    found = pool(studies.evidence(), options)
    k = found["k"].astype(int)
    table = pd.DataFrame({"feature": studies.features} | found | _total_counts(studies))
    table["k"] = k
    if adjust is not None:
        position = table.columns.tolist().index("log10_p") + 1
        table.insert(position, "p_adjusted", adjust_within(table, adjust, families))
    notes = _notes(studies, k)
    _warn(studies, k)
    return MetaAnalysis(table, studies, options, adjust, notes)


def choose_options(
    method: str | None,
    test: str | None,
    preset: str | None,
    prediction: str,
    level: float,
    adjust: str | None,
) -> Options:
    """Fill in what was left open and refuse what does not exist.

    Parameters
    ----------
    method, test, preset : str or None
        See `meta_analysis`.
    prediction : str
        See `meta_analysis`.
    level : float
        Coverage.
    adjust : str or None
        See `meta_analysis`.

    Returns
    -------
    Options
        How to pool.

    Raises
    ------
    DataError
        If an option is unknown or contradicts the preset.
    """
    if preset is not None and (method or test):
        raise DataError(f"preset='{preset}' sets method and test: leave those out.")
    if preset not in (None, "enigma"):
        raise DataError(f"'{preset}' is no preset; there is 'enigma'.")
    method = method or "reml"
    test = test or ("z" if preset or method == "fe" else "knha-bounded")
    for value, known, what in (
        (method, METHODS, "estimator of tau²"),
        (test, TESTS, "test"),
        (prediction, ("as-test", "riley"), "prediction interval"),
        (adjust or "bh", ADJUSTMENTS, "adjustment of p values"),
    ):
        if value not in known:
            raise DataError(f"'{value}' is no {what}: {name_some(known, 10)}.")
    if not 0 < level < 1:
        raise DataError(f"level is the coverage of intervals, between 0 and 1, not {level}.")
    return Options(method, test, level, prediction)


def _require_two_sites(studies: Studies) -> None:
    k = np.isfinite(studies.effects).sum(axis=0)
    if k.max(initial=0) >= 2:
        return
    if len(studies.sites) < 2:
        raise TooFewSitesError(
            f"there is only {count(studies.sites, 'site')} ({name_some(studies.sites)}): "
            f"nothing to pool."
        )
    raise TooFewSitesError(
        f"no feature has effects from two sites ({count(studies.features, 'feature')}, "
        f"{count(studies.sites, 'site')}). Are names of features spelled alike at all sites?"
    )


def _total_counts(studies: Studies) -> dict[str, NDArray[Any]]:
    """People at the sites that have a feature; NaN if a site did not tell how many."""
    known = {name: np.isfinite(values).any() for name, values in studies.counts.items()}
    present = np.isfinite(studies.effects)
    totals = {
        name: np.where(present, values, 0).sum(axis=0)
        for name, values in studies.counts.items()
        if known[name]
    }
    return {
        name: total.astype(int) if np.isfinite(total).all() else total
        for name, total in totals.items()
    }


def _notes(studies: Studies, k: NDArray[np.int_]) -> pd.DataFrame:
    """What to know about features with few sites."""
    sayings = {
        0: "no site has it",
        1: "one site has it: its effect is passed on, heterogeneity is unknown",
        2: "two sites have it: tau² is hardly estimable",
    }
    rows = [
        (studies.features[column], sayings[int(k[column])]) for column in np.flatnonzero(k <= 2)
    ]
    return pd.DataFrame(rows, columns=["feature", "note"])


def _warn(studies: Studies, k: NDArray[np.int_]) -> None:
    for number, advice in (
        (1, "they are passed on as they are, not pooled"),
        (2, "how much sites differ can hardly be estimated"),
    ):
        few = [studies.features[column] for column in np.flatnonzero(k == number)]
        if few:
            warnings.warn(
                f"{count(few, 'feature')} with effects from only {count(number, 'site')}: "
                f"{name_some(few)}; {advice}.",
                PrecisionWarning,
                stacklevel=3,
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # features that no site has
        ratio = np.nanmax(studies.se, axis=0) / np.nanmin(studies.se, axis=0)
    extreme = [studies.features[column] for column in np.flatnonzero(ratio**2 >= LARGEST_RATIO)]
    if extreme:
        warnings.warn(
            f"variances of sites differ more than 10⁷-fold for {count(extreme, 'feature')}: "
            f"{name_some(extreme)}. Are all standard errors in the same unit?",
            PrecisionWarning,
            stacklevel=3,
        )
