"""What a fitted Neuroharmony does: correct scans, tell the corrections, keep itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isoscan.combat import StepwiseComBat
from isoscan.combat.store import hash_of, read_model, write_model
from isoscan.errors import MissingValuesError, MissingValuesWarning
from isoscan.unseen.coverage import Ranges, warn_of_outside
from isoscan.unseen.inputs import (
    InputEncoder,
    incomplete_scans,
    match_quality,
    require_same_unit,
    require_volumes,
)
from isoscan.unseen.projection import Projection
from isoscan.unseen.trees import Forests


class FittedNeuroharmony:
    """Apply, save and load; how the model is learned is not known here."""

    steps: Any
    estimator: Any
    unusable: Literal["error", "skip"]
    combats_: dict[str, StepwiseComBat]
    encoder_: InputEncoder
    ranges_: Ranges
    projection_: Projection
    forests_: Forests
    importances_: pd.DataFrame
    feature_names_in_: NDArray[np.object_]
    n_features_in_: int
    n_components_: int
    sites_: list[str]
    scans_per_site_: dict[str, int]

    def transform(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame,
        covariates: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Correct scans of any scanner; each one alone gives the same bits as among others.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Relative volumes; columns are matched by name.
        quality : DataFrame
            Metrics of image quality of these scans, from the software of training.
        covariates : DataFrame, optional
            Predictors, matched by index.

        Returns
        -------
        DataFrame of shape (n_scans, n_features)
            Corrected volumes, in the rows, columns and precision of `volumes`.

        Raises
        ------
        DataError
            If features, metrics or covariates do not fit the model.

        Warns
        -----
        ExtrapolationWarning
            If scans lie outside the range of training; each is named with its metrics.
        """
        table, inputs = self._read(volumes, quality, covariates)
        warn_of_outside(self.ranges_.outside(inputs), len(table))
        harmonized = table.astype(np.float64) + self._corrections(table, inputs)
        single = table.columns[table.dtypes == np.float32]
        harmonized = harmonized.astype(dict.fromkeys(single, np.float32))
        return harmonized[list(volumes.columns.astype(str))].set_axis(volumes.columns, axis=1)

    def predict(
        self,
        volumes: pd.DataFrame,
        *,
        quality: pd.DataFrame,
        covariates: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Tell the correction of every scan and feature, and what is out of range.

        Parameters
        ----------
        volumes : DataFrame of shape (n_scans, n_features)
            Relative volumes.
        quality : DataFrame
            Metrics of image quality.
        covariates : DataFrame, optional
            Predictors.

        Returns
        -------
        DataFrame
            Columns scan, feature, correction (what is added, in the unit of the volumes; NaN
            where metrics are unusable) and out_of_range: names of the inputs of the scan that
            lie outside the range of training, separated by a comma and a space.
        """
        table, inputs = self._read(volumes, quality, covariates)
        outside = self.ranges_.outside(inputs)
        warn_of_outside(outside, len(table))
        corrections = self._corrections(table, inputs)
        n_features = table.shape[1]
        names = [", ".join(outside.get(scan, ())) for scan in table.index]
        return pd.DataFrame(
            {
                "scan": np.repeat(table.index.to_numpy(), n_features),
                "feature": np.tile(table.columns.to_numpy(), len(table)),
                "correction": corrections.to_numpy().ravel(),
                "out_of_range": np.repeat(np.array(names, dtype=object), n_features),
            }
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to a file that runs no code and names no scan.

        Leaves of trees are corrections of few scans, often of one: a file says something
        about the people of training, though not who they are.

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
        Neuroharmony
            A fitted model, ready to `transform`.

        Raises
        ------
        ModelFileError
            If the file is damaged, altered, of a newer format, or holds another model.
        """
        from isoscan.unseen.neuroharmony_file import from_file

        return from_file(cls, Path(path).name, *read_model(path))

    @property
    def hash_(self) -> str:
        """SHA-256 of the model as it would be saved."""
        return hash_of(*self._to_parts())

    def _incomplete(self, inputs: pd.DataFrame, consequence: str) -> list[str]:
        """Refuse scans with missing or failed metrics, or say what becomes of them."""
        scans, sentence = incomplete_scans(inputs)
        if scans and self.unusable != "skip":
            raise MissingValuesError(
                f"{sentence}. Leave these scans out (select_sample does), or set unusable='skip'.",
                scans=scans,
            )
        if scans:
            warnings.warn(f"{sentence}; {consequence}.", MissingValuesWarning, stacklevel=4)
        return scans

    def _read(
        self, volumes: Any, quality: Any, covariates: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        check_is_fitted(self, "forests_")
        table = require_volumes(volumes, self.feature_names_in_)
        require_same_unit(table, self.projection_.own_centre, self.projection_.own_scale)
        inputs = self.encoder_.encode(match_quality(quality, table.index), covariates)
        return table, inputs

    def _corrections(self, table: pd.DataFrame, inputs: pd.DataFrame) -> pd.DataFrame:
        self._incomplete(inputs, "their corrections are missing")
        complete = inputs.notna().all(axis=1).to_numpy()
        shared, own = inputs.to_numpy()[complete], table.to_numpy(np.float64)[complete]
        result = np.full(table.shape, np.nan)
        for feature in range(table.shape[1]):
            scores = self.projection_.scores(shared, own[:, feature], feature)
            result[complete, feature] = self.forests_.predict(feature, scores)
        return pd.DataFrame(result, index=table.index, columns=table.columns)

    def _to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        from isoscan.unseen.neuroharmony_file import to_parts

        check_is_fitted(self, "forests_")
        return to_parts(self)

    @classmethod
    def _from_parts(cls, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        from isoscan.unseen.neuroharmony_file import from_parts

        return from_parts(cls, facts, arrays)
