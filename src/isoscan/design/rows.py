"""Choose scans by a condition on their covariates, such as ``diagnosis == 'control'``."""

from __future__ import annotations

import ast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoscan.errors import FormulaError, MissingCovariateError, count, name_some

_HARMLESS = (
    ast.Expression,
    ast.BoolOp,
    ast.boolop,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.Compare,
    ast.cmpop,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)


def choose_rows(condition: str, table: pd.DataFrame | None) -> NDArray[np.bool_]:
    """Mark the rows that fulfil a condition; rows where it is unknown do not.

    Parameters
    ----------
    condition : str
        Comparisons of columns, joined by and, or, not: ``"age > 18 and dx == 'control'"``.
    table : DataFrame or None
        One row per scan.

    Returns
    -------
    ndarray of bool, shape (n_scans,)
        True for the chosen rows.

    Raises
    ------
    FormulaError
        If the condition is not one, or no row fulfils it.
    MissingCovariateError
        If it names a column that is not there.

    Examples
    --------
    >>> people = pd.DataFrame({"dx": ["control", "patient"], "age": [30, 40]})
    >>> choose_rows("dx == 'control' and age < 35", people)
    array([ True, False])
    """
    names = _names(condition)
    if table is None or not names <= set(table.columns):
        absent = sorted(names if table is None else names - set(table.columns))
        raise MissingCovariateError(
            f"the condition '{condition}' needs {name_some(absent)}, which the covariates have "
            f"not.",
            covariates=absent,
        )
    try:
        chosen = table.eval(condition, engine="python", local_dict={}, global_dict={})
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise FormulaError(f"the condition '{condition}' cannot be evaluated: {reason}") from None
    if not isinstance(chosen, pd.Series) or not pd.api.types.is_bool_dtype(chosen.dtype):
        raise FormulaError(f"'{condition}' is not a condition: compare a column with something.")
    rows = chosen.fillna(False).to_numpy(dtype=bool)
    if not rows.any():
        raise FormulaError(
            f"none of {count(len(rows), 'scan')} fulfils the condition '{condition}'."
        )
    return rows


def _names(condition: str) -> set[str]:
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except SyntaxError:
        raise FormulaError(f"the condition '{condition}' cannot be read.") from None
    for node in ast.walk(tree):
        if not isinstance(node, _HARMLESS):
            raise FormulaError(
                f"'{ast.unparse(node)}' in the condition '{condition}' is not allowed: only "
                f"columns, values and comparisons joined by and, or, not are."
            )
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
