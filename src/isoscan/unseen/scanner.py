"""Correct one scan of a scanner that nobody trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from isoscan.combat import ComBat
from isoscan.errors import (
    ConstantFeatureWarning,
    DataError,
    ExtrapolationWarning,
    TooFewSitesError,
    count,
    name_some,
)
from isoscan.tables.align import require_unique
from isoscan.unseen.calibration import learn_prior
from isoscan.unseen.corrector import UnseenCorrector
from isoscan.unseen.domain import OnShift, belief, usual_score
from isoscan.unseen.inputs import match_quality
from isoscan.unseen.intervals import learn_margins
from isoscan.unseen.learning import Learned, Lesson, learn_shifts, scanner_table
from isoscan.unseen.metrics import choose_metrics, definition_of, metric_values
from isoscan.unseen.people import learn_people
from isoscan.unseen.profile import group_means, learn_metric_scale, profile_of
from isoscan.unseen.reading import Residuals, as_measures, residuals_of, rows_for
from isoscan.unseen.regressors import RIDGE, find_regressor
from isoscan.unseen.totals import Strategy, learn_head_size, split_total

Array = NDArray[np.float64]
LEAST_SCANNERS = 3
FEW_SCANNERS = 8
IDENTITY = ("size_", "spacing_", "icvs_")
"""Metrics that name the scanner, or measure the brain, instead of the quality of an image."""


class UnseenScanner(UnseenCorrector, BaseEstimator):  # type: ignore[misc]
    """Correct measures of scanners that are not in the training data, one scan at a time.

    A ComBat of the training scanners says what is expected of a person and how far each
    scanner is off. A ridge regression learns to tell that shift from single scans: from how
    their measures deviate from expectation, and from the quality of their images. It is
    tuned by leaving out one scanner after the other, and keeps the differences between
    people. A few scans of the new scanner, given to `calibrate`, tell more than any of this.

    Parameters
    ----------
    preserve : str, optional
        Formula of what must survive, for example ``"age + C(sex)"``.
    remove : str, optional
        Formula of what is taken out along with the scanner.
    smooth : sequence of str
        Continuous covariates that enter as penalised splines; preserved.
    total : str, optional
        Column of the volumes that holds the intracranial volume; they are then adjusted for
        it. None takes the measures as they are.
    total_strategy : {"ratio", "residual", "power", "harmonized"}
        Divide by the total; subtract what it explains within scanners; divide by a power of
        it; or correct the total for its scanner first, and divide by that.
    use_volumes : bool
        Learn from the measures themselves. False learns from image quality alone.
    metrics : sequence of str, optional
        Metrics to learn from; by default those of MRIQC but sizes, spacings, tissue
        fractions and numbers of voxels, which name the scanner or measure the brain.
    estimator : str or estimator
        "ridge", "kernel-ridge", "forest", "neighbors", or any regression of scikit-learn for
        several outputs. Only models with the ridge can be saved.
    on_shift : {"shrink", "warn", "raise", "identity"}
        What is done with a scan unlike those of training: make less of its correction the
        further it is, warn only, refuse it, or leave it as it is.
    keep : float
        Least correlation within scanners between measures before and after, and least share
        of their spread, that is asked of a setting.
    interval : float
        Coverage of the intervals.
    random_state : int, optional
        Seed of a forest.

    Attributes
    ----------
    reference_ : ComBat
        Model of the training scanners.
    scanners_ : DataFrame of shape (n_scanners, 4)
        How each scanner of training was corrected by the others: scans, mean absolute shift
        before and after in residual standard deviations, error relative to none.
    biology_ : DataFrame
        What was left of covariates in scanners left out; see `learn_people`.
    strength_ : float
        Share of a correction that is made; 0 if nothing could be learned.
    metrics_ : list of str
        Metrics that are used.
    calibration_ : Calibration or None
        What is known of the scanner, after `calibrate`.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127.

    Examples
    --------
    >>> from isoscan.phantom import simulate_scanners
    >>> cohort = simulate_scanners(random_state=1)
    >>> new = cohort.people.site == "SCANNER01"
    >>> model = UnseenScanner("age + C(sex)").fit(
    ...     cohort.measures[~new], quality=cohort.quality[~new],
    ...     sites=cohort.people.site[~new], covariates=cohort.people[~new],
    ... )
    >>> one = cohort.measures[new].iloc[[0]]
    >>> model.transform(one, quality=cohort.quality, covariates=cohort.people).shape
    (1, 40)
    """

    def __init__(
        self,
        preserve: str | None = None,
        *,
        remove: str | None = None,
        smooth: Sequence[str] = (),
        total: str | None = None,
        total_strategy: Strategy = "ratio",
        use_volumes: bool = True,
        metrics: Sequence[str] | None = None,
        estimator: Any = RIDGE,
        on_shift: OnShift = "shrink",
        keep: float = 0.95,
        interval: float = 0.9,
        random_state: int | None = None,
    ) -> None:
        self.preserve = preserve
        self.remove = remove
        self.smooth = smooth
        self.total = total
        self.total_strategy = total_strategy
        self.use_volumes = use_volumes
        self.metrics = metrics
        self.estimator = estimator
        self.on_shift = on_shift
        self.keep = keep
        self.interval = interval
        self.random_state = random_state

    def fit(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        sites: Any,
        covariates: pd.DataFrame | None = None,
    ) -> Self:
        """Learn from scans of many scanners.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures indexed by scan; NaN where missing.
        quality : DataFrame of shape (n_scans, n_metrics), optional
            Metrics of image quality, matched by id.
        sites : Series or sequence of shape (n_scans,)
            Scanner of each scan.
        covariates : DataFrame of shape (n_scans, n_covariates), optional
            Columns named in the formulas.

        Returns
        -------
        UnseenScanner
            The fitted model.

        Raises
        ------
        TooFewSitesError
            If there are fewer than 3 scanners.
        DataError
            If the data cannot be harmonized as they are; the message says why.

        Warns
        -----
        ExtrapolationWarning
            If little or nothing could be learned about unknown scanners.
        """
        self._require_options(quality)
        require_unique(volumes.index, "volumes")
        table = as_measures(volumes).astype(np.float64)
        self.columns_ = list(table.columns)
        people = rows_for(covariates, table.index)
        measures = self._learn_measures(table, quality, sites, people)
        self.reference_ = ComBat(self.preserve, remove=self.remove, smooth=self.smooth)
        after = self.reference_.fit_transform(measures, sites=sites, covariates=people)
        self._require_scanners()
        scanners = self._scanners_of(sites, table.index)
        rest = residuals_of(self.reference_, measures, people)
        metrics = self._learn_metrics(quality, people, scanners, table.index)
        lesson = self._lesson(rest, metrics, after, scanners)
        learned = learn_shifts(lesson, self.keep, self._regressor())
        self._remember(lesson, learned)
        self.biology_ = learn_people(rest, self._left_out, scanners, people)
        return self

    def _require_options(self, quality: Any) -> None:
        belief(np.zeros(0), 1.0, self.on_shift)
        self._regressor()
        for name in ("keep", "interval"):
            if not 0 < getattr(self, name) < 1:
                raise DataError(f"{name} must lie between 0 and 1, got {getattr(self, name)!r}.")
        if quality is None and not self.use_volumes:
            raise DataError("use_volumes=False learns from image quality alone: give quality.")

    def _learn_measures(
        self, table: pd.DataFrame, quality: Any, sites: Any, people: pd.DataFrame | None
    ) -> pd.DataFrame:
        """Measures adjusted for the total, and how that is done."""
        self.head_size_, self.total_model_ = None, None
        volumes, totals = split_total(table, self.total, self.total_strategy)
        if totals is not None and self.total_strategy in ("residual", "power"):
            codes = self._scanners_of(sites, table.index)
            self.head_size_ = learn_head_size(volumes, totals, codes, self.total_strategy)
        if totals is not None and self.total_strategy == "harmonized":
            self.total_model_ = UnseenScanner(
                self.preserve, metrics=self.metrics, on_shift=self.on_shift, keep=self.keep
            ).fit(self._logs(volumes, totals), quality=quality, sites=sites, covariates=people)
            known = self.total_model_.reference_.transform(
                self._logs(volumes, totals), sites=sites, covariates=people
            )
            totals = np.exp(known[str(self.total)])
        return self._adjusted(volumes, totals)

    def _regressor(self) -> Any:
        return find_regressor(self.estimator, self.random_state)

    def _require_scanners(self) -> None:
        n_scanners = len(self.reference_.sites_)
        if n_scanners < LEAST_SCANNERS:
            raise TooFewSitesError(
                f"there are {count(n_scanners, 'training scanner')}; what is common to unknown "
                f"scanners can only be learned from at least {LEAST_SCANNERS}, each left out in "
                f"turn. Add scanners, or use ComBat for scans of known ones.",
                sites=self.reference_.sites_,
            )
        if n_scanners < FEW_SCANNERS:
            warnings.warn(
                f"there are only {n_scanners} training scanners: scanners are what this learns "
                f"from, however many scans they have. See scanners_ for how well each is "
                f"corrected by the others.",
                ExtrapolationWarning,
                stacklevel=3,
            )

    def _scanners_of(self, sites: Any, scans: pd.Index) -> NDArray[np.intp]:
        labels = sites.loc[scans] if isinstance(sites, pd.Series) else pd.Series(list(sites))
        return np.asarray(pd.factorize(labels.astype(str), sort=True)[0])

    def _learn_metrics(
        self,
        quality: pd.DataFrame | None,
        people: pd.DataFrame | None,
        scanners: NDArray[np.intp],
        scans: pd.Index,
    ) -> Array | None:
        self.metrics_, self.metric_scale_, self.definition_ = [], None, None
        if quality is None:
            return None
        quality = match_quality(quality, scans)
        self.definition_ = definition_of(quality)
        names = choose_metrics(quality, None if self.metrics is None else tuple(self.metrics))
        if self.metrics is None:
            names = [name for name in names if not _names_the_scanner(name)]
        values = metric_values(quality, names)
        constant = [name for name in names if values[name].nunique() < 2]
        if constant:
            warnings.warn(
                f"{count(constant, 'metric')} of {len(names)} do not vary in training and are "
                f"left out: {name_some(constant, 8)}.",
                ConstantFeatureWarning,
                stacklevel=3,
            )
        self.metrics_ = [name for name in names if name not in constant]
        self._learn_metric_design(people, len(scans))
        used = values[self.metrics_].to_numpy()
        rows = self._metric_rows(people, len(scans))
        self.metric_scale_ = learn_metric_scale(used, rows, scanners)
        return self.metric_scale_.deviations(used, rows)

    def _lesson(
        self,
        rest: Residuals,
        metrics: Array | None,
        after: pd.DataFrame,
        scanners: NDArray[np.intp],
    ) -> Lesson:
        varies = rest.sd > 0
        added = (after - rest.measures).to_numpy() - rest.moved
        effects = self.reference_.model_.effects
        log_scale = 0.5 * np.log(effects.variance)
        return Lesson(
            profile_of(rest.values if self.use_volumes else None, metrics),
            scanners,
            rest.values,
            rest.scaled,
            np.where(varies, added / np.where(varies, rest.sd, 1.0), 0.0),
            effects.shift,
            np.exp(-log_scale.mean(axis=0)),
        )

    def _remember(self, lesson: Lesson, learned: Learned) -> None:
        self.regression_, self.strength_ = learned.regression, learned.strength
        self.stretch_ = lesson.stretch
        self.within_weight_, self.score_ = learned.within_weight, learned.score
        self.usual_score_ = usual_score(lesson.profiles, lesson.scanners)
        self.mean_profiles_ = group_means(lesson.profiles, lesson.scanners)
        self._left_out = lesson.corrected(learned.left_out, learned.strength)
        full = lesson.corrected(learned.left_out)
        self.margins_ = learn_margins(
            full - lesson.corrections, lesson.corrections, lesson.scanners, self.interval
        )
        self.scanners_ = scanner_table(lesson, self._left_out, self.reference_.sites_)
        log_scale = 0.5 * np.log(self.reference_.model_.effects.variance)
        self.prior_ = learn_prior(lesson.residuals, lesson.scanners, log_scale, learned.left_out)
        self.calibration_ = None
        if learned.strength == 0:
            warnings.warn(
                f"no transfer: of {len(self.scanners_)} scanners, each left out in turn, none of "
                f"the settings brought unknown scanners closer to the others. Scans are left as "
                f"they are until calibrate is given some of their scanner.",
                ExtrapolationWarning,
                stacklevel=3,
            )


def _names_the_scanner(metric: str) -> bool:
    kind: Literal[True, False] = metric.startswith(IDENTITY)
    return kind or (metric.startswith("summary_") and metric.endswith("_n"))
