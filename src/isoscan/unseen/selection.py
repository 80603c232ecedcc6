"""Choose the sample to learn from, scan by scan with a reason; nothing is dropped silently."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from isoscan.combat.inputs import match_rows
from isoscan.design.covariates import as_numbers
from isoscan.design.requirements import require_covariates
from isoscan.errors import DataError, MissingValuesError, TooFewScansError, count
from isoscan.labels import as_labels
from isoscan.tables.align import align_rows, require_unique
from isoscan.unseen.metrics import METRICS, images_by_scan, metric_values, unusable_metrics
from isoscan.unseen.outliers import OutlierRule, find_outliers

Reasons = dict[Any, str]
_ROUNDED = re.compile(r"round\((.+)\)")
_RULE = OutlierRule()


@dataclass(frozen=True)
class Selection:
    """Who is in the sample, and why the others are not.

    Attributes
    ----------
    kept : Index
        Ids of the scans in the sample, in the order of the volumes.
    log : DataFrame
        One row per scan that is left out: scan, step, reason, and round of the outlier rule
        (0 in other steps).
    counts : DataFrame
        One row per step, in their order: step, dropped, left, scanners (that are left).
    """

    kept: pd.Index[Any]
    log: pd.DataFrame
    counts: pd.DataFrame


def select_sample(
    volumes: pd.DataFrame,
    *,
    quality: pd.DataFrame | None = None,
    sites: Any,
    covariates: pd.DataFrame | None = None,
    age: tuple[float, float] | None = (18, 70),
    quality_probability: str | pd.Series[Any] | None = None,
    segmentation_probability: str | pd.Series[Any] | None = None,
    max_probability: float = 0.5,
    outliers: OutlierRule | None = _RULE,
    alone: Sequence[str] = (),
    min_per_site: int = 5,
    missing: Literal["drop", "error"] = "drop",
) -> Selection:
    """Choose who is in the sample, by the rules of Neuroharmony, each of them a parameter.

    Steps in this order: age, image quality, outliers within each scanner, quality of the
    segmentation, missing data, groups of one person, small scanners [1]_.

    Parameters
    ----------
    volumes : DataFrame of shape (n_scans, n_features)
        Relative volumes, indexed by scan.
    quality : DataFrame, optional
        Metrics of image quality; scans in which one of the 68 is missing or failed are left
        out.
    sites : Series or sequence of shape (n_scans,)
        Scanner of each scan; a Series is matched by index.
    covariates : DataFrame, optional
        Has the column age if `age` is given; scans in which a value is missing are left out.
    age : (float, float) or None
        Youngest and oldest that are kept, both included.
    quality_probability, segmentation_probability : str, Series or None
        Probability that an image, or its segmentation, is unusable (MRIQC's classifier,
        Qoala-T): a column of `covariates`, or values matched by id.
    max_probability : float
        Scans with a higher probability are left out.
    outliers : OutlierRule or None
        When a scan is an outlier of its scanner; by default if 10 regions are beyond 2.5 SD.
    alone : sequence of str
        Variables such as "sex", "round(age)" or "site": one after the other, scans that are
        the only ones of their group are left out. ComBat cannot scale a group of one.
    min_per_site : int
        Scanners with fewer scans are left out.
    missing : {"drop", "error"}
        Scans with missing data, or without a row of metrics or covariates: leave them out, or
        refuse.

    Returns
    -------
    Selection
        Ids that are kept, and the reason for every other one.

    Raises
    ------
    TooFewScansError
        If nobody is left.
    MissingValuesError
        If data are missing and `missing` is "error".
    DataError
        If a table does not fit.

    References
    ----------
    .. [1] Garcia-Dias et al. (2020), NeuroImage 220:117127,
       doi:10.1016/j.neuroimage.2020.117127, section 2.1.

    Examples
    --------
    >>> from isoscan.phantom import simulate_tables
    >>> cohort = simulate_tables(3, (8, 6, 2), random_state=0)
    >>> chosen = select_sample(
    ...     cohort.measures, sites=cohort.people.site, covariates=cohort.people, age=None
    ... )
    >>> chosen.log.step.value_counts().to_dict()
    {'small scanners': 2}
    """
    sample = _Sample(volumes, quality, sites, covariates)
    if age is not None:
        sample.drop("age", sample.of_other_age(*age))
    probabilities = (quality_probability, segmentation_probability)
    image, segmentation = (sample.improbable(p, max_probability) for p in probabilities)
    sample.drop("image quality", image)
    if outliers is not None:
        sample.drop_outliers(outliers)
    sample.drop("segmentation quality", segmentation)
    sample.drop("missing data", sample.incomplete(missing))
    for variable in alone:
        sample.drop(f"alone: {variable}", sample.alone(variable))
    sample.drop("small scanners", sample.of_small_scanners(min_per_site))
    return sample.selected()


class _Sample:
    """Scans that are still in the sample, and what was written down about the others."""

    def __init__(
        self,
        volumes: pd.DataFrame,
        quality: pd.DataFrame | None,
        sites: Any,
        covariates: pd.DataFrame | None,
    ) -> None:
        index = volumes.index
        labels, _ = match_rows(volumes, sites, None)
        self.volumes = volumes
        self.absent: Reasons = {}
        images = None if quality is None else images_by_scan(quality, index)
        self.quality = self._rows(images, "no image quality metrics")
        self.people = self._rows(covariates, "no covariates")
        self.scanners = pd.Series(labels, index=index, dtype=object)
        self.left = index
        self.log: list[tuple[Any, str, str, int]] = []
        self.counts: list[tuple[str, int, int, int]] = []

    def _rows(self, table: pd.DataFrame | None, reason: str) -> pd.DataFrame | None:
        """Rows of the scans, missing where the table has none."""
        if table is None:
            return None
        require_unique(table.index, "quality" if "quality" in reason else "covariates")
        absent = self.volumes.index.difference(table.index, sort=False)
        if len(absent) == len(self.volumes):
            return pd.DataFrame(align_rows(table, self.volumes.index, what=reason[3:]))
        self.absent |= dict.fromkeys(absent, reason)
        return table.reindex(self.volumes.index)

    def drop(self, step: str, reasons: Reasons, number: int = 0) -> None:
        """Leave scans out, and count the step; scans that are out already stay as they are."""
        out = {scan: reason for scan, reason in reasons.items() if scan in self.left}
        self.log += [(scan, step, reason, number) for scan, reason in out.items()]
        self.left = self.left[~self.left.isin(list(out))]
        n_scanners = int(self.scanners[self.left].nunique())
        self.counts.append((step, len(out), len(self.left), n_scanners))

    def drop_outliers(self, rule: OutlierRule) -> None:
        """Apply the outlier rule to those that are left; one line of counts for all rounds."""
        found = find_outliers(self.volumes.loc[self.left], self.scanners, rule)
        numbers = found["round"].tolist()
        reasons = {
            scan: f"{n} regions beyond {rule.sd:g} SD of scanner {site}"
            for scan, n, site in zip(found.scan, found.n_rois, found.site, strict=True)
        }
        self.drop("outliers", reasons)
        start = len(self.log) - len(reasons)
        rows = zip(self.log[start:], numbers, strict=True)
        self.log[start:] = [(scan, step, reason, at) for (scan, step, reason, _), at in rows]

    def of_other_age(self, youngest: float, oldest: float) -> Reasons:
        """Younger or older; an unknown age counts as missing data."""
        known = require_covariates(self.people, ["age"])["age"].dropna()
        values = as_numbers(known, "age")
        other = values[~values.between(youngest, oldest)]
        return {scan: f"age {value:g} is not in {youngest:g}-{oldest:g}"
                for scan, value in other.items()}  # fmt: skip

    def improbable(self, probability: str | pd.Series[Any] | None, most: float) -> Reasons:
        """Images or segmentations that are probably unusable."""
        if probability is None:
            return {}
        if isinstance(probability, str):
            probability = require_covariates(self.people, [probability])[probability]
        values = align_rows(probability, self.volumes.index, what="probabilities", extra="ignore")
        numbers = as_numbers(values.dropna(), str(values.name))
        if not numbers.between(0, 1).all():
            raise DataError(f"probabilities '{values.name}' must lie between 0 and 1.")
        unusable = numbers[numbers > most]
        absent = "the probability to be unusable is missing"
        return dict.fromkeys(values.index[values.isna()], absent) | {
            scan: f"unusable with probability {value:.3g}, above {most:g}"
            for scan, value in unusable.items()
        }

    def incomplete(self, answer: str) -> Reasons:
        """Volumes, covariates or metrics that are missing; the first of them is the reason."""
        if answer not in ("drop", "error"):
            raise DataError(f"missing must be 'drop' or 'error', got {answer!r}.")
        reasons = self._gaps()
        here = {scan: reason for scan, reason in reasons.items() if scan in self.left}
        if here and answer == "error":
            shown = [f"'{scan}' ({reason})" for scan, reason in list(here.items())[:3]]
            more = f" and {len(here) - 3} more" if len(here) > 3 else ""
            raise MissingValuesError(
                f"{len(here)} of {count(self.left, 'scan')} have missing data: {', '.join(shown)}"
                f"{more}. Complete them, or leave them out with missing='drop'.",
                scans=list(here),
            )
        return reasons

    def _gaps(self) -> Reasons:
        reasons: Reasons = {}
        if self.quality is not None:
            names = [name for name in METRICS if name in self.quality.columns]
            gaps = unusable_metrics(metric_values(self.quality, names))
            reasons |= {scan: f"metrics missing or failed: {', '.join(which)}"
                        for scan, which in gaps.items()}  # fmt: skip
        if self.people is not None:
            reasons |= {scan: f"covariates missing: {', '.join(which)}"
                        for scan, which in unusable_metrics(self.people).items()}  # fmt: skip
        gaps = unusable_metrics(self.volumes)
        reasons |= {scan: f"{count(which, 'volume')} missing" for scan, which in gaps.items()}
        return reasons | self.absent

    def alone(self, variable: str) -> Reasons:
        """The only one of their group among those that are left."""
        labels = self._labels(variable).loc[self.left]
        single = labels[~labels.duplicated(keep=False)]
        return {scan: f"the only one with {variable} {label}" for scan, label in single.items()}

    def _labels(self, variable: str) -> pd.Series[Any]:
        if variable == "site":
            return self.scanners
        rounded = _ROUNDED.fullmatch(variable)
        name = rounded.group(1) if rounded else variable
        values = require_covariates(self.people, [name])[name].loc[self.left]
        if rounded:
            values = as_numbers(values, name).round().astype(int)
        return pd.Series(as_labels(values, what=name, warn=False), index=values.index)

    def of_small_scanners(self, least: int) -> Reasons:
        """Those of scanners with too few scans left."""
        sizes = self.scanners[self.left].value_counts()
        small = sizes[sizes < least]
        scanners = self.scanners[self.left]
        return {scan: f"scanner {name} has {count(int(small[name]), 'scan')} left"
                for scan, name in scanners[scanners.isin(small.index)].items()}  # fmt: skip

    def selected(self) -> Selection:
        """Put together what was written down; refuse an empty sample."""
        counts = pd.DataFrame(self.counts, columns=["step", "dropped", "left", "scanners"])
        if not len(self.left):
            dropped = dict(zip(counts.step, counts.dropped, strict=True))
            most = max(dropped, key=lambda step: dropped[step])
            raise TooFewScansError(
                f"none of {count(len(self.volumes), 'scan')} is left; most were left out by "
                f"'{most}' ({dropped[most]}). Change its limits.",
                counts=dropped,
            )
        log = pd.DataFrame(self.log, columns=["scan", "step", "reason", "round"])
        return Selection(self.left, log, counts)
