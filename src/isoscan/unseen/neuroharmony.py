"""Neuroharmony: predict the correction of ComBat from image quality, one scan at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone

from isoscan.combat.inputs import match_rows
from isoscan.combat.stepwise import Step
from isoscan.unseen.coverage import Ranges
from isoscan.unseen.fitted import FittedNeuroharmony
from isoscan.unseen.forests import (
    Search,
    best_settings,
    default_forest,
    grow_forests,
    importances_of_inputs,
    search_settings,
    seeds_of,
)
from isoscan.unseen.inputs import InputEncoder, match_quality, require_volumes
from isoscan.unseen.projection import Projection
from isoscan.unseen.splits import cap_sites, merge_small_sites
from isoscan.unseen.steps import SmallGroups, remove_in_steps

STEPS: tuple[Step, ...] = ("sex", "round(age)", "site")


class Neuroharmony(FittedNeuroharmony, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Correct single scans of scanners that nobody trained on, from their image quality.

    In training, ComBat removes sex, age and scanner one after the other. A random forest per
    region then learns the correction from metrics of image quality, age, sex and the volume
    itself, after a principal component analysis [1]_. A new scan needs no scanner label.

    Parameters
    ----------
    steps : sequence of str or (str, ComBat)
        What is removed, first to last, as for `StepwiseComBat`. To keep age and sex, give
        ``[("site", ComBat("age + C(sex)"))]``.
    predictors : sequence of str
        Covariates that forests see besides metrics and volume.
    metrics : sequence of str, optional
        Columns of `quality` that forests see; the 68 metrics of MRIQC by default.
    components : float, int or None
        Share of variance that principal components keep in every region, their number, or
        None for no such analysis.
    estimator : estimator, optional
        Forest of regression trees; a `RandomForestRegressor` of 100 trees by default.
    search : dict of {str: list}, optional
        Settings of the forest to choose from, for each region, by leaving one scanner out.
        None fits the forest as it is; an empty dict also tells its scores.
    n_candidates : int, optional
        Combinations of `search` that are drawn; all by default.
    scoring : str
        Score of scikit-learn that chooses; corrections are in their SD.
    min_per_split : int
        Scanners with fewer scans are merged when scanners are left out, and only then.
    max_per_site : int, "second-largest" or None
        Most scans of a scanner that forests learn from; ComBat sees all.
    small_groups : {"error", "mean-only"}
        A group of one scan in a step, such as the only person of an age: refuse it, or
        correct its shift only.
    unusable : {"error", "skip"}
        Scans whose metrics are missing or failed: refuse them, or leave them out of training
        and return missing values for them, with a warning.
    n_jobs : int, optional
        Threads.
    random_state : int, Generator or None
        Seed of forests, of draws of settings and of scans.

    Attributes
    ----------
    corrections_ : DataFrame of shape (n_scans, n_features)
        What ComBat added in training; not kept in files.
    step_corrections_ : dict of {str: DataFrame}
        The same, step by step; not kept in files.
    combats_ : dict of {str: StepwiseComBat}
        The fitted steps.
    importances_ : DataFrame of shape (n_features, n_inputs)
        Share of each input in what a forest explains.
    search_ : DataFrame or None
        Scores of the settings: feature, params, score, one column per scanner left out.
    ranges_ : Ranges
        Limits of every input in training.
    n_components_ : int
        Principal components per region.
    sites_ : list of str
        Scanners of training.
    scans_per_site_ : dict of {str: int}
        Their scans.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(4, (20, 15, 25), random_state=0)
    >>> people = cohort.people
    >>> noise = np.random.default_rng(0).normal(size=60)
    >>> cnr = people.site.map({"SITE01": 2.0, "SITE02": 3.0, "SITE03": 4.0}) + 0.1 * noise
    >>> model = Neuroharmony(
    ...     ["site"], metrics=["cnr"], components=None, estimator=RandomForestRegressor(5)
    ... )
    >>> model = model.fit(
    ...     cohort.measures, quality=cnr.to_frame("cnr"), sites=people.site, covariates=people
    ... )
    >>> new = cohort.measures.iloc[:1]
    >>> model.transform(new, quality=cnr.to_frame("cnr"), covariates=people).shape
    (1, 4)
    """

    def __init__(
        self,
        steps: Sequence[Step] = STEPS,
        *,
        predictors: Sequence[str] = ("age", "sex"),
        metrics: Sequence[str] | None = None,
        components: float | int | None = 0.99,
        estimator: Any = None,
        search: Search | None = None,
        n_candidates: int | None = None,
        scoring: str = "neg_mean_absolute_error",
        min_per_split: int = 30,
        max_per_site: int | str | None = None,
        small_groups: SmallGroups = "error",
        unusable: Literal["error", "skip"] = "error",
        n_jobs: int | None = None,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.steps = steps
        self.predictors = predictors
        self.metrics = metrics
        self.components = components
        self.estimator = estimator
        self.search = search
        self.n_candidates = n_candidates
        self.scoring = scoring
        self.min_per_split = min_per_split
        self.max_per_site = max_per_site
        self.small_groups = small_groups
        self.unusable = unusable
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        volumes: pd.DataFrame,
        y: Any = None,
        *,
        quality: pd.DataFrame,
        sites: Any,
        covariates: pd.DataFrame | None = None,
    ) -> Self:
        """Learn the corrections of ComBat, and how to predict them.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Relative volumes, indexed by scan, complete; see `relative_volumes`.
        y : object
            Not used.
        quality : DataFrame of shape (n_images, n_columns)
            Metrics of image quality, indexed by scan or as `read_mriqc` gives them.
        sites : Series or sequence of shape (n_scans,)
            Scanner of each scan; a Series is matched by index.
        covariates : DataFrame, optional
            Age, sex and what else steps and predictors name, matched by index.

        Returns
        -------
        Neuroharmony
            The fitted model.

        Raises
        ------
        DataError
            If the data cannot be used as they are; the message says why.
        """
        table, labels, inputs = self._read_training(volumes, quality, sites, covariates)
        removed = remove_in_steps(
            table, self.steps, sites=labels, covariates=covariates, small_groups=self.small_groups
        )
        self.combats_, self.step_corrections_ = removed.models, removed.corrections
        self.corrections_ = removed.total
        self.ranges_ = Ranges.of(inputs)
        self._learn_forests(inputs, table, labels.to_numpy())
        return self

    def fit_transform(
        self,
        volumes: pd.DataFrame,
        y: Any = None,
        *,
        quality: pd.DataFrame,
        sites: Any,
        covariates: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Learn, and correct the same scans by the forests (not by ComBat).

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Relative volumes.
        y : object
            Not used.
        quality : DataFrame
            Metrics of image quality.
        sites : Series or sequence of shape (n_scans,)
            Scanner of each scan.
        covariates : DataFrame, optional
            Age, sex and others.

        Returns
        -------
        DataFrame of shape (n_scans, n_features)
            Corrected volumes.
        """
        self.fit(volumes, quality=quality, sites=sites, covariates=covariates)
        return self.transform(volumes, quality=quality, covariates=covariates)

    def _read_training(
        self, volumes: Any, quality: Any, sites: Any, covariates: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.Series[Any], pd.DataFrame]:
        """Match everything by scan; learn how inputs are encoded."""
        table = require_volumes(volumes)
        images = match_quality(quality, table.index)
        names, people = match_rows(table, sites, covariates)
        labels = pd.Series(names, index=table.index, dtype=object)
        self.encoder_ = InputEncoder.learn(images, people, self.metrics, self.predictors)
        inputs = self.encoder_.encode(images, people)
        absent = self._incomplete(inputs, "left out of training")
        kept = ~table.index.isin(absent)
        self.feature_names_in_ = np.array(table.columns, dtype=object)
        self.n_features_in_ = table.shape[1]
        return table.loc[kept], labels.loc[kept], inputs.loc[kept]

    def _learn_forests(
        self, inputs: pd.DataFrame, table: pd.DataFrame, sites: NDArray[np.object_]
    ) -> None:
        names, sizes = np.unique(sites.astype(str), return_counts=True)
        self.sites_ = names.tolist()
        self.scans_per_site_ = dict(zip(self.sites_, sizes.tolist(), strict=True))
        generator = np.random.default_rng(self.random_state)
        rows = cap_sites(sites, self.max_per_site, generator)
        shared, own = inputs.to_numpy()[rows], table.to_numpy(np.float64)[rows]
        targets = self.corrections_.to_numpy(np.float64)[rows]
        self.projection_ = Projection.learn(shared, own, self.components)
        self.n_components_ = self.projection_.n_components
        seeds = seeds_of(own.shape[1], generator)
        estimators = self._chosen_forests(shared, own, targets, sites[rows], seeds)
        self.forests_, shares = grow_forests(
            estimators, self.projection_, shared, own, targets, seeds=seeds, n_jobs=self.n_jobs
        )
        self.importances_ = importances_of_inputs(
            shares, self.projection_, self.encoder_.names, list(table.columns)
        )

    def _chosen_forests(
        self,
        shared: NDArray[np.float64],
        own: NDArray[np.float64],
        targets: NDArray[np.float64],
        sites: NDArray[np.object_],
        seeds: list[int],
    ) -> list[Any]:
        """One forest per feature, with the settings that predict left-out scanners best."""
        base = default_forest() if self.estimator is None else self.estimator
        self.search_: pd.DataFrame | None = None
        if self.search is None:
            return [base] * own.shape[1]
        scores = search_settings(
            base, self.search, shared, own, targets,
            merge_small_sites(sites, self.min_per_split),
            n_components=None if self.components is None else self.n_components_,
            n_candidates=self.n_candidates, scoring=self.scoring, seeds=seeds, n_jobs=self.n_jobs,
        )  # fmt: skip
        named = zip(self.feature_names_in_, scores, strict=True)
        frames = [frame.assign(feature=feature) for feature, frame in named]
        columns = ["feature", *scores[0].columns]
        self.search_ = pd.concat(frames, ignore_index=True)[columns]
        return [clone(base).set_params(**best_settings(frame)) for frame in scores]
