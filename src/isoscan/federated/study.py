"""What a consortium agrees upon before anybody looks at data: the study file.

Measures and their units, what may differ between people and must survive, how it is coded, and
below how many people nothing is sent. Every message carries the hash of the study, so all sites
do the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isoscan.combat import ComBat
from isoscan.combat.checks import require_options
from isoscan.combat.container import hash_facts, read_json
from isoscan.combat.smooth import Penalty
from isoscan.design import Design, SmoothDesign
from isoscan.design.covariates import Covariate
from isoscan.errors import DataError, IsoscanError, MessageFileError, MissingFileError, name_some
from isoscan.federated.fixed import fixed_curves, fixed_design
from isoscan.federated.thresholds import Thresholds
from isoscan.tables.write import write_json

FORMAT, VERSION = "isoscan-study", 1
MOST_BYTES = 64 << 20
MISSING = ("error", "drop", "pattern")
_PLAIN: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "preserve": (str, type(None)),
    "remove": (str, type(None)),
    "smooth_outside": (str,),
    "prior": (str, type(None)),
    "mean_only": (bool,),
    "reference": (str, type(None)),
    "convergence": (str,),
    "missing": (str,),
}


@dataclass(frozen=True)
class Study:
    """One agreed analysis.

    Attributes
    ----------
    name : str
        Short name.
    features : dict of {str: str}
        Measures in order, with their units.
    covariates : dict of {str: Covariate}
        Levels of categories, of which the first is the one to compare with; lowest and highest
        value of numbers, which are also the bounds of curves.
    preserve, remove : str or None
        Formulas, as in `ComBat`.
    smooth : tuple of str
        Covariates that enter as curves.
    smooth_outside : {"clamp", "error"}
        Values beyond the bounds of a curve.
    prior, mean_only, reference, convergence
        As in `ComBat`.
    missing : {"error", "drop", "pattern"}
        Scans that lack a measure: refuse them; leave them out; or use what they have, which
        tells the centre how many scans have each measure, and what the means of covariates
        over these are.
    thresholds : Thresholds
        Below how many people nothing is sent.

    Raises
    ------
    DataError
        If the parts do not fit together.

    Examples
    --------
    >>> study = Study(
    ...     "demo",
    ...     {"hippocampus": "mm3", "amygdala": "mm3"},
    ...     {"age": (5, 90), "sex": ("F", "M")},
    ...     preserve="age + C(sex)",
    ... )
    >>> study.columns
    ('age', 'C(sex)[T.M]')
    """

    name: str
    features: Mapping[str, str]
    covariates: Mapping[str, Any] = field(default_factory=dict)
    preserve: str | None = None
    remove: str | None = None
    smooth: Sequence[str] = ()
    smooth_outside: Literal["clamp", "error"] = "clamp"
    prior: Literal["parametric", "nonparametric"] | None = "parametric"
    mean_only: bool = False
    reference: str | None = None
    convergence: Literal["reference", "full"] = "reference"
    missing: Literal["error", "drop", "pattern"] = "drop"
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        known = {name: _covariate(name, item) for name, item in self.covariates.items()}
        object.__setattr__(self, "covariates", known)
        object.__setattr__(self, "smooth", tuple(self.smooth))
        object.__setattr__(self, "features", dict(self.features))
        if not self.features:
            raise DataError("a study needs at least one feature.")
        if self.missing not in MISSING:
            raise DataError(f"missing must be one of {MISSING}, got {self.missing!r}.")
        require_options(self.estimator())
        self.design  # noqa: B018  (columns of both formulas must differ)

    @cached_property
    def preserve_design(self) -> Design:
        """Columns of what is preserved."""
        return fixed_design(self.preserve, self.covariates)

    @cached_property
    def remove_design(self) -> Design:
        """Columns of what is removed with the site effects."""
        return fixed_design(self.remove, self.covariates)

    @cached_property
    def smooth_design(self) -> SmoothDesign:
        """Columns of the curves."""
        return fixed_curves(self.smooth, self.covariates, self.preserve_design, self.smooth_outside)

    @cached_property
    def design(self) -> Design:
        """Everything that scans are expected to differ by."""
        return self.preserve_design.join(self.smooth_design.as_design()).join(self.remove_design)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the design columns."""
        return self.design.columns

    @property
    def told(self) -> list[str]:
        """Design columns as a ledger remembers them; those of curves belong to this study."""
        curved = {number for part in self.curved_columns.values() for number in part}
        return [
            f"{name} of {self.sha256[:12]}" if number in curved else name
            for number, name in enumerate(self.columns)
        ]

    @property
    def curved_columns(self) -> dict[str, list[int]]:
        """Positions of the columns of each curve in the design."""
        start = len(self.preserve_design.columns)
        return {
            term: [start + number for number in numbers]
            for term, numbers in self.smooth_design.terms.items()
        }

    @property
    def penalties(self) -> list[Penalty]:
        """Columns of each curve, and what its bending costs."""
        return self.estimator()._penalties()

    @property
    def used(self) -> list[str]:
        """Covariates that enter the design."""
        names = [*self.design.covariates, *(spline.name for spline in self.smooth_design.splines)]
        return list(dict.fromkeys(names))

    @property
    def categories(self) -> list[str]:
        """Covariates that enter the design as categories."""
        return [name for name in self.used if self.covariates[name].levels is not None]

    def estimator(self) -> ComBat:
        """ComBat with the options and designs of the study, not yet fitted.

        Returns
        -------
        ComBat
            It knows its features and designs, but no site.
        """
        known = self.covariates
        curved = dict.fromkeys(term.partition(":")[0].strip() for term in self.smooth)
        model = ComBat(
            self.preserve,
            remove=self.remove,
            smooth=self.smooth,
            smooth_bounds={
                name: (known[name].low, known[name].high) for name in curved if name in known
            }
            or None,
            smooth_outside=self.smooth_outside,
            prior=self.prior,
            mean_only=self.mean_only,
            reference=self.reference,
            convergence=self.convergence,
        )
        model.preserve_design_ = self.preserve_design
        model.smooth_design_ = self.smooth_design
        model.remove_design_ = self.remove_design
        model.batches_ = None
        model.n_features_in_ = len(self.features)
        model.feature_names_in_ = np.array(list(self.features), dtype=object)
        return model

    @cached_property
    def sha256(self) -> str:
        """Hash of everything agreed upon."""
        return hash_facts(self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": VERSION,
            **{name: getattr(self, name) for name in _PLAIN},
            "smooth": list(self.smooth),
            "features": [{"name": name, "unit": unit} for name, unit in self.features.items()],
            "covariates": {name: item.to_json() for name, item in self.covariates.items()},
            "columns": list(self.columns),
            "thresholds": self.thresholds.to_json(),
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the study file.

        Parameters
        ----------
        path : str or Path
            Where to write, usually ``study.json``.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        OutputExistsError
            If the file exists and `overwrite` is false.
        """
        write_json(path, {"sha256": self.sha256, **self._facts()}, overwrite=overwrite)


def read_study(path: str | Path) -> Study:
    """Read a study file and check every part of it.

    Parameters
    ----------
    path : str or Path
        A file written by `Study.save`.

    Returns
    -------
    Study
        The agreed analysis.

    Raises
    ------
    MessageFileError
        If the file is damaged, altered, or of a newer format.
    MissingFileError
        If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no study file {path}.", path=str(path))
    if path.stat().st_size > MOST_BYTES:
        raise MessageFileError(f"{path.name}: too large for a study file; refused.")
    try:
        return _from_facts(read_json(path.read_bytes(), path.name, MessageFileError), path.name)
    except IsoscanError:
        raise
    except Exception as error:
        raise MessageFileError(f"{path.name}: damaged study file ({error}).") from None


def _from_facts(facts: Any, name: str) -> Study:
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise MessageFileError(f"{name}: not a study file.")
    if facts.get("format_version") != VERSION:
        raise MessageFileError(
            f"{name}: study format {facts.get('format_version')}; this isoscan reads format "
            f"{VERSION}. Update isoscan."
        )
    if hash_facts(facts) != facts.get("sha256"):
        raise MessageFileError(
            f"{name}: its hash is {hash_facts(facts)[:12]}..., but it says "
            f"{str(facts.get('sha256'))[:12]}...: the file was altered. Ask the centre for it."
        )
    wrong = [key for key, kinds in _PLAIN.items() if not isinstance(facts.get(key), kinds)]
    if wrong:
        raise MessageFileError(f"{name}: {name_some(wrong)} missing or of the wrong kind.")
    features = {str(item["name"]): str(item["unit"]) for item in facts["features"]}
    if len(features) != len(facts["features"]):
        raise MessageFileError(f"{name}: a feature is named twice.")
    study = Study(
        features=features,
        covariates={
            str(key): Covariate.from_json(str(key), item)
            for key, item in facts["covariates"].items()
        },
        smooth=[str(term) for term in facts["smooth"]],
        thresholds=Thresholds.from_json(facts["thresholds"]),
        **{key: facts[key] for key in _PLAIN},
    )
    if list(study.columns) != facts["columns"]:
        raise MessageFileError(
            f"{name}: the formula gives the columns {name_some(study.columns, 12)} here, and gave "
            f"{name_some(facts['columns'], 12)} where the study was written. Use the same version "
            f"of isoscan and formulaic."
        )
    return study


def _covariate(name: str, item: Any) -> Covariate:
    """Two numbers are a range, anything else is a list of levels."""
    if isinstance(item, Covariate):
        known = item
    else:
        values = list(item)
        if len(values) == 2 and all(isinstance(value, int | float) for value in values):
            known = Covariate(name, None, float(values[0]), float(values[1]))
        else:
            known = Covariate(name, tuple(str(value) for value in values))
    if known.levels is not None and (
        len(known.levels) < 2 or len(set(known.levels)) < len(known.levels)
    ):
        raise DataError(f"'{name}' needs at least two different levels, got {known.levels}.")
    if known.levels is None and not -np.inf < known.low < known.high < np.inf:
        raise DataError(
            f"'{name}' needs a lowest and a highest value, got {known.low:g} to {known.high:g}."
        )
    return known
