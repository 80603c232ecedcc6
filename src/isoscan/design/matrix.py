"""A formula, fitted once, turns any table of covariates into the same columns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec, SimpleFormula
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from isoscan.design.covariates import Covariate, learn_covariate
from isoscan.design.formula import parse_formula, variables, variables_in_categories
from isoscan.design.requirements import (
    refuse_constant_columns,
    refuse_constant_covariates,
    refuse_many_columns,
    require_covariates,
)
from isoscan.design.state import plain, restored
from isoscan.errors import ExtrapolationWarning, FormulaError, count, name_some


@dataclass(frozen=True)
class Design:
    """The numeric form of a formula, with everything it learned in training.

    Attributes
    ----------
    formula : str or None
        The formula as given; None stands for no covariates.
    covariates : dict of {str: Covariate}
        Levels and ranges seen in training.
    columns : tuple of str
        Names of the design columns, without an intercept.
    terms : dict of {str: list of int}
        Positions of the columns of each term.
    state : dict
        State of stateful transformations, as formulaic keeps it.
    """

    formula: str | None = None
    covariates: dict[str, Covariate] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    terms: dict[str, list[int]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, formula: str | None, table: pd.DataFrame | None) -> Design:
        """Learn levels, ranges and transformations from a table of covariates.

        Parameters
        ----------
        formula : str or None
            Which covariates enter, and how; None for none.
        table : DataFrame of shape (n_scans, n_covariates) or None
            Covariates of the training scans.

        Returns
        -------
        Design
            The fitted design.

        Raises
        ------
        FormulaError, MissingCovariateError, MissingValuesError, NotNumericError
            If the formula and the table do not fit together.
        ConstantTermError
            If a term has the same value for every scan.

        Examples
        --------
        >>> people = pd.DataFrame({"age": [30.0, 41.0, 52.0], "sex": ["F", "M", "F"]})
        >>> design = Design.fit("age + C(sex)", people)
        >>> design.columns
        ('age', 'C(sex)[T.M]')
        >>> design.matrix(people)
        array([[30.,  0.], [41.,  1.], [52.,  0.]])
        """
        return cls.learn(formula, table)[0]

    @classmethod
    def learn(
        cls, formula: str | None, table: pd.DataFrame | None, n_scans: int = 0
    ) -> tuple[Design, NDArray[np.float64]]:
        """Learn a design, and give its columns for the same scans.

        Parameters
        ----------
        formula : str or None
            Which covariates enter, and how; None for none.
        table : DataFrame of shape (n_scans, n_covariates) or None
            Covariates of the training scans.
        n_scans : int
            Number of rows if there is no table.

        Returns
        -------
        design : Design
            The fitted design.
        columns : ndarray of shape (n_scans, n_columns)
            What its `matrix` gives for `table`.
        """
        if formula is None:
            return cls(), np.empty((len(table) if table is not None else n_scans, 0))
        parsed = parse_formula(formula)
        names = variables(parsed)
        table = require_covariates(table, names)
        categories = variables_in_categories(parsed)
        covariates = {
            name: learn_covariate(table[name], is_category=name in categories) for name in names
        }
        return cls._learn_columns(formula, parsed, covariates, table)

    @classmethod
    def _learn_columns(
        cls,
        formula: str,
        parsed: SimpleFormula,
        covariates: dict[str, Covariate],
        table: pd.DataFrame,
    ) -> tuple[Design, NDArray[np.float64]]:
        refuse_constant_covariates(covariates, len(table))
        spec, values = _materialize(ModelSpec(formula=parsed), _encode(covariates, table), formula)
        refuse_many_columns(spec.column_names, len(table))
        refuse_constant_columns(spec.column_names, values)
        design = cls(
            formula=formula,
            covariates=covariates,
            columns=tuple(str(name) for name in spec.column_names[1:]),
            terms={
                str(term): [position - 1 for position in positions]
                for term, positions in spec.term_indices.items()
                if positions != [0]
            },
            state=dict(spec.transform_state),
        )
        return design, values[:, 1:]

    def matrix(
        self, table: pd.DataFrame | None, *, n_scans: int | None = None, check_range: bool = False
    ) -> NDArray[np.float64]:
        """Turn covariates into the columns of this design.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_covariates) or None
            Covariates; may have other columns too, in any order.
        n_scans : int, optional
            Number of rows if the design has no covariates and `table` is None.
        check_range : bool
            Warn about numbers beyond the range seen in training.

        Returns
        -------
        ndarray of shape (n_scans, n_columns)
            Design columns, without an intercept.

        Raises
        ------
        MissingCovariateError, MissingValuesError, NotNumericError, UnseenLevelError
            If a covariate is absent, incomplete, not a number, or of an unknown level.
        """
        if self.formula is None:
            return np.empty((len(table) if table is not None else n_scans or 0, 0))
        table = require_covariates(table, list(self.covariates))
        encoded = _encode(self.covariates, table)
        if check_range:
            self._warn_of_extrapolation(encoded)
        spec = ModelSpec(formula=parse_formula(self.formula), transform_state=self.state)
        return _materialize(spec, encoded, self.formula)[1][:, 1:]

    def join(self, other: Design) -> Design:
        """Put the columns of another design behind these, to speak of both at once.

        Parameters
        ----------
        other : Design
            A design with other terms.

        Returns
        -------
        Design
            Columns and terms of both; its formula is not meant to be evaluated.

        Raises
        ------
        FormulaError
            If a term is in both.
        """
        shared = sorted(set(self.terms) & set(other.terms))
        if shared:
            raise FormulaError(
                f"{name_some(shared)} is both preserved and removed. Choose one.", terms=shared
            )
        n_columns = len(self.columns)
        moved = {
            term: [position + n_columns for position in positions]
            for term, positions in other.terms.items()
        }
        return Design(
            formula=self.formula or other.formula,
            covariates=self.covariates | other.covariates,
            columns=self.columns + other.columns,
            terms=self.terms | moved,
        )

    def outside_range(self, table: pd.DataFrame) -> pd.DataFrame:
        """Mark covariates beyond the range seen in training.

        Parameters
        ----------
        table : DataFrame of shape (n_scans, n_covariates)
            Covariates of new scans.

        Returns
        -------
        DataFrame of bool
            One row per scan, one column per numeric covariate.
        """
        encoded = _encode(self.covariates, require_covariates(table, list(self.covariates)))
        return pd.DataFrame(
            {
                name: covariate.outside_range(encoded[name])
                for name, covariate in self.covariates.items()
                if covariate.levels is None
            },
            index=table.index,
        )

    def _warn_of_extrapolation(self, encoded: pd.DataFrame) -> None:
        for name, covariate in self.covariates.items():
            if covariate.levels is not None:
                continue
            outside = covariate.outside_range(encoded[name])
            if outside.any():
                warnings.warn(
                    f"'{name}' of {count(int(outside.sum()), 'scan')} lies outside the training "
                    f"range {covariate.low:g} to {covariate.high:g}: "
                    f"{name_some(encoded.index[outside])}. The expected value is extrapolated.",
                    ExtrapolationWarning,
                    stacklevel=4,
                )

    def to_json(self) -> dict[str, Any]:
        """Describe the design in plain types.

        Returns
        -------
        dict
            What `from_json` needs.
        """
        return {
            "formula": self.formula,
            "covariates": {name: item.to_json() for name, item in self.covariates.items()},
            "columns": list(self.columns),
            "terms": self.terms,
            "state": plain(self.state),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Design:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        facts : dict
            Plain description of a design.

        Returns
        -------
        Design
            The same design.

        Raises
        ------
        FormulaError
            If the formula holds anything but arithmetic.
        """
        if facts["formula"] is not None:
            parse_formula(facts["formula"])
        return cls(
            formula=facts["formula"],
            covariates={
                name: Covariate.from_json(name, item) for name, item in facts["covariates"].items()
            },
            columns=tuple(facts["columns"]),
            terms={term: list(positions) for term, positions in facts["terms"].items()},
            state=restored(facts["state"]),
        )


def _encode(covariates: Mapping[str, Covariate], table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {name: covariate.encode(table[name]) for name, covariate in covariates.items()},
        index=table.index,
    )


def _materialize(
    spec: ModelSpec, encoded: pd.DataFrame, formula: str
) -> tuple[ModelSpec, NDArray[np.float64]]:
    """Evaluate the formula; everything that may go wrong in it is a FormulaError."""
    try:
        with np.errstate(all="ignore"):
            matrix = spec.get_model_matrix(encoded, na_action="raise", output="numpy")
    except (FormulaicError, TypeError, ValueError, NameError) as error:
        reason = " ".join(str(error).split())
        if "null values" in reason:  # covariates are complete, so the formula made them
            reason = "it is not a finite number for every scan (a logarithm of zero?)."
        raise FormulaError(
            f"the formula '{formula}' cannot be evaluated: {reason}", formula=formula
        ) from None
    values = np.asarray(matrix, dtype=float)
    wrong = ~np.isfinite(values).all(axis=0)
    if wrong.any():
        names = [
            name for name, bad in zip(matrix.model_spec.column_names, wrong, strict=True) if bad
        ]
        raise FormulaError(
            f"{name_some(names)} in the formula '{formula}' is not a finite number for every "
            f"scan (a logarithm of zero?).",
            formula=formula,
        )
    return matrix.model_spec, values
