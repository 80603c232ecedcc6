"""Read the effects of many sites, whatever form they come in, and name what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import (
    DataError,
    DuplicateIdsError,
    FeatureMismatchError,
    InfiniteValuesError,
    MissingColumnError,
    NotNumericError,
    UnmatchedRowsError,
    count,
    name_some,
)
from isoscan.labels import as_labels
from isoscan.pooling.evidence import Evidence
from isoscan.pooling.site_table import SiteEffects

Numbers = NDArray[np.float64]
COUNTS = ("n1", "n2", "n")


@dataclass(frozen=True)
class Studies:
    """Effects and standard errors of all sites.

    Attributes
    ----------
    sites, features : tuple of str
        Rows and columns.
    effects, se : ndarray of shape (n_sites, n_features)
        NaN where a site has no effect.
    counts : dict of {str: ndarray of shape (n_sites, n_features)}
        n1, n2 and n, as far as they are known.
    kind : str or None
        Kind of effect, if known.
    skipped : DataFrame
        site, feature, reason.
    """

    sites: tuple[str, ...]
    features: tuple[str, ...]
    effects: Numbers
    se: Numbers
    counts: dict[str, Numbers] = field(default_factory=dict)
    kind: str | None = None
    skipped: pd.DataFrame = field(default_factory=pd.DataFrame)

    def evidence(self, design: Numbers | None = None) -> Evidence:
        """Numbers without holes, and a mask.

        Parameters
        ----------
        design : ndarray of shape (n_sites, n_terms), optional
            Design columns; a column of ones by default.

        Returns
        -------
        Evidence
            Input of the estimators.
        """
        present = np.isfinite(self.effects)
        return Evidence(
            np.where(present, self.effects, 0.0),
            np.where(present, self.se**2, 1.0),
            present.astype(float),
            np.ones((len(self.sites), 1)) if design is None else design,
        )


def as_studies(effects: Any, se: Any = None) -> Studies:
    """Read effects from any of the accepted forms and check them.

    Parameters
    ----------
    effects : SiteEffects, DataFrame, Series or array
        See `isoscan.meta_analysis`.
    se : DataFrame, Series or array, optional
        Standard errors of the same form; not for tidy frames.

    Returns
    -------
    Studies
        Checked effects.

    Raises
    ------
    DataError
        If standard errors are zero, negative or infinite, effects infinite, columns or
        sites missing or repeated.
    """
    if isinstance(effects, SiteEffects):
        studies = _from_site_effects(effects)
    elif isinstance(effects, pd.DataFrame) and se is None:
        studies = _from_tidy(effects)
    else:
        studies = _from_wide(effects, se)
    _refuse_impossible(studies)
    return _with_skipped(studies)


def _from_site_effects(effects: SiteEffects) -> Studies:
    return Studies(
        effects.sites,
        effects.features,
        effects.values["effect"],
        effects.values["se"],
        {name: effects.values[name] for name in COUNTS if name in effects.values},
        effects.kind,
        effects.skipped,
    )


def _from_tidy(table: pd.DataFrame) -> Studies:
    table = _with_se(table)
    if "site" not in table.columns:
        table = table.assign(site=table.index)
    if "feature" not in table.columns:
        table = table.assign(feature="effect")
    sites, features = as_labels(table["site"]), as_labels(table["feature"], "feature")
    rows, site_names = pd.factorize(sites)
    columns, feature_names = pd.factorize(features)
    repeated = pd.DataFrame({"site": rows, "feature": columns}).duplicated().to_numpy()
    if repeated.any():
        pairs = [f"{sites[row]}, {features[row]}" for row in np.flatnonzero(repeated)]
        raise DuplicateIdsError(
            f"{count(pairs, 'row')} repeat a site and feature that came before: "
            f"{name_some(pairs)}. One effect per site and feature; several contrasts are "
            f"pooled one by one.",
            ids=pairs,
        )
    shape = (len(site_names), len(feature_names))

    def spread(column: str) -> Numbers:
        cells = np.full(shape, np.nan)
        cells[rows, columns] = _numbers(table[column], column)
        return cells

    counts = {name: spread(name) for name in COUNTS if name in table.columns}
    kinds = set(table["kind"]) if "kind" in table.columns else set()
    if len(kinds) > 1:
        raise DataError(f"the table mixes effects of kind {name_some(kinds)}: pool one kind.")
    return Studies(
        tuple(site_names),
        tuple(feature_names),
        spread("effect"),
        spread("se"),
        counts,
        next(iter(kinds), None),
    )


def _with_se(table: pd.DataFrame) -> pd.DataFrame:
    if "se" not in table.columns and "variance" in table.columns:
        variance = _numbers(table["variance"], "variance")
        if (variance < 0).any():
            raise DataError(
                f"{count(int((variance < 0).sum()), 'variance')} negative, first in row "
                f"'{table.index[variance < 0][0]}'. Correct them, or mark them missing (NaN)."
            )
        table = table.assign(se=np.sqrt(variance))
    absent = [name for name in ("effect", "se") if name not in table.columns]
    if absent:
        raise MissingColumnError(
            f"the table of effects lacks {name_some(absent)}; it has {name_some(table.columns, 8)}"
            f". It needs the columns site, feature, effect, and se or variance: rename yours.",
            columns=absent,
        )
    return table


def _from_wide(effects: Any, se: Any) -> Studies:
    if se is None:
        raise DataError("standard errors are needed: meta_analysis(effects, se).")
    first, second = _as_frame(effects), _as_frame(se)
    named = isinstance(effects, pd.DataFrame | pd.Series) and isinstance(
        se, pd.DataFrame | pd.Series
    )
    if named:
        _refuse_other_names(first, second)
        second = second.loc[first.index, first.columns]
    elif first.shape != second.shape:
        raise DataError(f"effects have the shape {first.shape}, standard errors {second.shape}.")
    sites, features = first.index.tolist(), first.columns.tolist()
    if isinstance(effects, pd.DataFrame | pd.Series):  # names of arrays are made here
        sites, features = as_labels(sites).tolist(), as_labels(features, "feature").tolist()
    return Studies(
        tuple(sites), tuple(features), first.to_numpy(dtype=float), second.to_numpy(dtype=float)
    )


def _as_frame(values: Any) -> pd.DataFrame:
    if isinstance(values, pd.DataFrame):
        frame = values
    elif isinstance(values, pd.Series):
        frame = pd.DataFrame({"effect": values})
    else:
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise DataError(f"effects must be sites x features, got {array.ndim} dimensions.")
        names = [f"feature {column + 1}" for column in range(array.shape[1])]
        frame = pd.DataFrame(array, columns=names if array.shape[1] > 1 else ["effect"])
        frame.index = pd.Index([str(row + 1) for row in range(len(frame))])
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return frame
    text = frame.columns[[getattr(dtype, "kind", "O") not in "fiu" for dtype in frame.dtypes]]
    return frame.assign(**{str(name): _numbers(frame[name], str(name)) for name in text})


def _numbers(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    wrong = numbers.isna() & values.notna()
    if wrong.any():
        raise NotNumericError(
            f"'{name}' is no number in {count(int(wrong.sum()), 'row')}, e.g. "
            f"'{values[wrong].iloc[0]}' (row '{values.index[wrong][0]}').",
            column=name,
        )
    return numbers


def _refuse_other_names(effects: pd.DataFrame, se: pd.DataFrame) -> None:
    for axis, what, error in (
        (0, "site", UnmatchedRowsError),
        (1, "feature", FeatureMismatchError),
    ):
        first, second = effects.axes[axis], se.axes[axis]
        if not (first.is_unique and second.is_unique):
            raise DuplicateIdsError(f"names of {what}s are repeated: each may stand once.")
        alone = [str(name) for name in first.symmetric_difference(second)]
        if alone:
            raise error(
                f"{count(alone, what)} only in the effects or only in the standard errors: "
                f"{name_some(alone)}. Missing effects are NaN.",
                names=alone,
            )


def _refuse_impossible(studies: Studies) -> None:
    infinite = np.isinf(studies.effects)
    if infinite.any():
        raise InfiniteValuesError(
            f"{count(int(infinite.sum()), 'effect')} infinite: {_places(studies, infinite)}. "
            f"Mark them missing (NaN) to leave these sites out."
        )
    for problem, word in (
        (studies.se == 0, "0, as if the site had measured without error"),
        (studies.se < 0, "negative"),
        (np.isinf(studies.se), "infinite"),
    ):
        problem = problem & np.isfinite(studies.effects)
        if problem.any():
            raise DataError(
                f"{count(int(problem.sum()), 'standard error')} {word}: "
                f"{_places(studies, problem)}. Correct them, or mark the effects missing (NaN) "
                f"to leave these sites out."
            )


def _places(studies: Studies, cells: NDArray[np.bool_]) -> str:
    return name_some(
        f"{studies.sites[row]}, {studies.features[column]}" for row, column in np.argwhere(cells)
    )


def _with_skipped(studies: Studies) -> Studies:
    """Effects without an error, and errors without an effect, count as missing; all are named."""
    present = np.isfinite(studies.effects) & np.isfinite(studies.se)
    no_se = np.isfinite(studies.effects) & ~present
    rows, columns = np.nonzero(~present)
    found = pd.DataFrame(
        {
            "site": np.array(studies.sites, dtype=object)[rows],
            "feature": np.array(studies.features, dtype=object)[columns],
            "reason": np.where(no_se[rows, columns], "no standard error", "no effect"),
        }
    )
    skipped = studies.skipped if len(studies.skipped) else found
    return Studies(
        studies.sites,
        studies.features,
        np.where(present, studies.effects, np.nan),
        np.where(present, studies.se, np.nan),
        {name: np.where(present, values, np.nan) for name, values in studies.counts.items()},
        studies.kind,
        skipped.reset_index(drop=True),
    )
