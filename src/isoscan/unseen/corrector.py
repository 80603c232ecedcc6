"""What a fitted model of unknown scanners does: correct, explain, calibrate, keep itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isoscan.combat import ComBat
from isoscan.combat.store import hash_of, read_model, write_model
from isoscan.design import Design
from isoscan.errors import DataError
from isoscan.unseen.calibration import Calibration, ScannerPrior, calibrate
from isoscan.unseen.domain import OnShift, belief, report_shift
from isoscan.unseen.inputs import match_quality
from isoscan.unseen.intervals import Margins, normal_quantile
from isoscan.unseen.learning import correction
from isoscan.unseen.metrics import metric_values, require_same_definition, warn_of_unusable
from isoscan.unseen.profile import MetricScale, profile_of
from isoscan.unseen.reading import Residuals, as_measures, residuals_of, rows_for
from isoscan.unseen.regressors import RIDGE, OtherRegression
from isoscan.unseen.shifts import ShiftRidge, distance
from isoscan.unseen.totals import HeadSize, split_total

Array = NDArray[np.float64]
ABSTAINED = 0.5
"""Below this share of a correction, a scan counts as not corrected."""


class UnseenCorrector:
    """Apply, calibrate, save and load; how the model is learned is not known here."""

    preserve: str | None
    total: str | None
    total_strategy: str
    use_volumes: bool
    on_shift: OnShift
    interval: float
    columns_: list[str]
    reference_: ComBat
    head_size_: HeadSize | None
    total_model_: Any
    metrics_: list[str]
    metric_design_: Design
    metric_scale_: MetricScale | None
    definition_: str | None
    estimator: Any
    regression_: ShiftRidge | OtherRegression
    strength_: float
    stretch_: Array
    usual_score_: float
    margins_: Margins
    mean_profiles_: Array
    prior_: ScannerPrior
    calibration_: Calibration | None
    scanners_: pd.DataFrame
    biology_: pd.DataFrame

    def transform(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        covariates: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Correct scans; each one alone gives the same bits as among others.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures; columns are matched by name.
        quality : DataFrame, optional
            Metrics of image quality, matched by id; may be left out after `calibrate`.
        covariates : DataFrame, optional
            Columns named in the formulas, matched by id.

        Returns
        -------
        DataFrame of shape (n_scans, n_features)
            Corrected measures, adjusted for the total if there is one; NaN where missing.

        Raises
        ------
        DataError
            If features, metrics or covariates do not fit the model.

        Warns
        -----
        ExtrapolationWarning
            If scans are unlike those of training.
        """
        rest, profiles = self._read(volumes, quality, covariates)
        corrections, _, _ = self.corrections(rest, profiles)
        after = rest.corrected(corrections)
        names = {str(name): name for name in volumes.columns if str(name) != self.total}
        single = [name for name, own in names.items() if volumes[own].dtype == np.float32]
        return after[list(names)].astype(dict.fromkeys(single, np.float32))

    def predict(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        covariates: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Tell the correction of every scan and feature, and how sure it is.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures.
        quality : DataFrame, optional
            Metrics of image quality.
        covariates : DataFrame, optional
            Columns named in the formulas.

        Returns
        -------
        DataFrame
            Columns scan, feature, correction, low, high (what is added, with its interval,
            in the unit of the measures), shift_score (about 1 for scans like those of
            training; missing if there are no metrics) and abstained (less than half of a
            correction was made).
        """
        rest, profiles = self._read(volumes, quality, covariates)
        corrections, margins, strength = self.corrections(rest, profiles)
        scores = np.full(len(profiles), np.nan)
        if profiles.shape[1]:
            scores = distance(profiles)
        n_features = corrections.shape[1]
        centre = rest.moved + corrections * rest.sd
        return pd.DataFrame(
            {
                "scan": np.repeat(rest.measures.index.to_numpy(), n_features),
                "feature": np.tile(rest.measures.columns.to_numpy(), len(centre)),
                "correction": centre.ravel(),
                "low": (centre - margins * rest.sd).ravel(),
                "high": (centre + margins * rest.sd).ravel(),
                "shift_score": np.repeat(scores, n_features),
                "abstained": np.repeat(strength < ABSTAINED, n_features),
            }
        )

    def calibrate(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        covariates: pd.DataFrame | None = None,
    ) -> Self:
        """Learn one new scanner from some of its scans.

        What the scans have in common is divided between the scanner and the people by what
        training knows of both. The model that comes back corrects scans of that scanner.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures of scans of the new scanner, 1 or more.
        quality : DataFrame, optional
            Metrics of image quality. Without them only the measures tell; they help most
            while there are one or two scans.
        covariates : DataFrame, optional
            Columns named in the formulas.

        Returns
        -------
        UnseenScanner
            A copy that has seen these scans; the old one is as it was.

        Examples
        --------
        >>> at_oslo = model.calibrate(three_scans, covariates=people)  # doctest: +SKIP
        """
        check_is_fitted(self, "regression_")
        model = copy.copy(self)
        if self.total_model_ is not None:
            table = as_measures(volumes, self.columns_).astype(np.float64)
            logs = self._logs(*split_total(table, self.total, self.total_strategy))
            model.total_model_ = self.total_model_.calibrate(
                logs, quality=quality, covariates=rows_for(covariates, table.index)
            )
        blind = quality is None and self.metric_scale_ is not None
        rest, profiles = model._read(volumes, quality, covariates, profiled=not blind)
        if not len(rest.values):
            raise DataError("calibrate needs at least one scan of the new scanner; got none.")
        model.calibration_ = calibrate(self.prior_, rest.values, self._said(profiles))
        return model

    def residuals(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        covariates: pd.DataFrame | None = None,
    ) -> Residuals:
        """Compare measures with what is expected of these people on a typical scanner.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures.
        quality : DataFrame, optional
            Metrics of image quality; only needed where the total is harmonized first.
        covariates : DataFrame, optional
            Columns named in the formulas.

        Returns
        -------
        Residuals
            Measures, adjusted for the total if there is one, and their deviations.
        """
        return self._read(volumes, quality, covariates, profiled=False)[0]

    def profiles(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame | None = None,
        covariates: pd.DataFrame | None = None,
    ) -> tuple[Residuals, Array]:
        """What the model sees of scans: deviations of measures and of metrics.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Measures.
        quality : DataFrame, optional
            Metrics of image quality.
        covariates : DataFrame, optional
            Columns named in the formulas.

        Returns
        -------
        rest : Residuals
            Measures and their deviations.
        profiles : ndarray of shape (n_scans, n_columns)
            The profile of each scan; without columns after `calibrate`.
        """
        return self._read(volumes, quality, covariates)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to a file that holds no scan and runs no code.

        Parameters
        ----------
        path : str or Path
            Where to write, usually ``model.isoscan``.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is false.
        """
        write_model(path, *self._to_parts(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or Path
            A ``model.isoscan`` file.

        Returns
        -------
        UnseenScanner
            A fitted model.

        Raises
        ------
        ModelFileError
            If the file is damaged, altered, of a newer format, or holds another model.
        """
        from isoscan.unseen.scanner_file import from_file

        return from_file(cls, Path(path).name, *read_model(path))

    @property
    def hash_(self) -> str:
        """SHA-256 of the model as it would be saved."""
        return hash_of(*self._to_parts())

    def corrections(self, rest: Residuals, profiles: Array) -> tuple[Array, Array, Array]:
        """What is added to scans, in residual standard deviations.

        Parameters
        ----------
        rest : Residuals
            Measures and their deviations, from `profiles`.
        profiles : ndarray of shape (n_scans, n_columns)
            Profiles of the same scans.

        Returns
        -------
        corrections, margins : ndarray of shape (n_scans, n_features)
            What is added, and half widths of its intervals.
        strength : ndarray of shape (n_scans,)
            Share of the correction that is made.
        """
        if self.calibration_ is not None:
            known, said = self.calibration_, self._said(profiles)
            made, error = known.correct(rest.values, said)
            return made, normal_quantile(self.interval) * error, np.ones(len(made))
        scores = distance(profiles)
        report_shift(rest.measures.index, scores, self.usual_score_, self.on_shift)
        strength = self.strength_ * belief(scores, self.usual_score_, self.on_shift)
        shifts = self.regression_.predict(profiles)
        made = correction(rest.values, shifts, self.stretch_, strength)
        return made, self.margins_.at(strength), strength

    def _said(self, profiles: Array) -> Array | None:
        """What the regression says of scans, if it has something to say."""
        if not profiles.shape[1] or self.strength_ == 0:
            return None
        return self.regression_.predict(profiles)

    def _read(
        self,
        volumes: Any,
        quality: pd.DataFrame | None,
        covariates: pd.DataFrame | None,
        *,
        profiled: bool = True,
    ) -> tuple[Residuals, Array]:
        check_is_fitted(self, "regression_")
        table = as_measures(volumes, self.columns_).astype(np.float64)
        people = rows_for(covariates, table.index)
        measures, totals = split_total(table, self.total, self.total_strategy)
        if self.total_model_ is not None:
            logs = self._logs(measures, totals)
            after = self.total_model_.transform(logs, quality=quality, covariates=people)
            totals = np.exp(after[str(self.total)])
        rest = residuals_of(self.reference_, self._adjusted(measures, totals), people)
        blind = quality is None and self.metric_scale_ is not None
        if not profiled or (blind and self.calibration_ is not None):
            return rest, np.zeros((len(table), 0))
        metrics = self._read_metrics(quality, people, table.index)
        return rest, profile_of(rest.values if self.use_volumes else None, metrics)

    def _read_metrics(
        self, quality: pd.DataFrame | None, people: pd.DataFrame | None, scans: pd.Index
    ) -> Array | None:
        if self.metric_scale_ is None:
            return None
        if quality is None:
            raise DataError(
                "quality is needed: the model was trained with image quality metrics. Give them, "
                "or calibrate with scans of that scanner."
            )
        quality = match_quality(quality, scans)
        require_same_definition(self.definition_, quality)
        values = metric_values(quality, self.metrics_)
        warn_of_unusable(values)
        return self.metric_scale_.deviations(
            values.to_numpy(), self._metric_rows(people, len(scans))
        )

    def _learn_metric_design(self, people: pd.DataFrame | None, n_scans: int) -> None:
        self.metric_design_ = Design.learn(self.preserve, people, n_scans)[0]

    def _metric_rows(self, people: pd.DataFrame | None, n_scans: int) -> Array:
        return np.asarray(self.metric_design_.matrix(people, n_scans=n_scans), dtype=np.float64)

    def _logs(self, volumes: pd.DataFrame, totals: Any) -> pd.DataFrame:
        """Logarithms of volumes and total, in which scanners multiply."""
        return pd.DataFrame(np.log(volumes.assign(**{str(self.total): totals})))

    def _adjusted(self, volumes: pd.DataFrame, totals: Any) -> pd.DataFrame:
        if totals is None:
            return volumes
        if self.head_size_ is not None:
            return self.head_size_.adjust(volumes, totals)
        return volumes.div(totals, axis=0)

    def _to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        from isoscan.unseen.scanner_file import to_parts

        if self.estimator != RIDGE:
            raise DataError(
                f"a model with estimator={self.estimator!r} cannot be kept in a file that runs no "
                f"code. Use estimator='ridge'."
            )
        check_is_fitted(self, "regression_")
        return to_parts(self)
