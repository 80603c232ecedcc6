"""Read a formula, and refuse everything in it that is not arithmetic.

Formulas are evaluated as Python, and a formula may come from a model file that
somebody mailed. So only names, numbers, operators and a fixed list of functions
are let through.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from formulaic import Formula, SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor

from isoscan.errors import FormulaError

FUNCTIONS = frozenset(
    "C I Q bs cc center contr cr cs exp exp10 exp2 log log10 log2 poly scale standardize".split()
)
MODULE_FUNCTIONS = frozenset(
    "np.abs np.exp np.expm1 np.log np.log10 np.log1p np.log2 np.sqrt np.square np.tanh "
    "contr.diff contr.helmert contr.poly contr.sum contr.treatment".split()
)
_HARMLESS = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.keyword,
    ast.Tuple,
    ast.List,
)
_QUOTED = re.compile(r"`([^`]*)`")


def parse_formula(text: str) -> SimpleFormula:
    """Parse a one-sided formula and check that it is safe to evaluate.

    Parameters
    ----------
    text : str
        Formula in Wilkinson notation, such as ``age + C(sex)``. An intercept may be
        written or left out: it makes no difference, every site has its own.

    Returns
    -------
    SimpleFormula
        The parsed formula, with an intercept.

    Raises
    ------
    FormulaError
        If the text cannot be parsed, has a left-hand side, or calls anything but the
        listed functions.

    Examples
    --------
    >>> parse_formula("~ age + C(sex)")
    1 + age + C(sex)
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"a formula is a text such as 'age + C(sex)', got {type(text).__name__} {text!r:.60}. "
            f"Join the names by +."
        )
    body = text.strip().removeprefix("~")
    if not body.strip():
        raise FormulaError("the formula is empty. Leave it out, or name a covariate.")
    if "~" in body:
        raise FormulaError(
            f"the formula '{text}' has a left-hand side; name covariates only.", formula=text
        )
    try:
        formula = Formula(f"1 + ({_without_intercept(body)})")
    except (FormulaicError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise FormulaError(f"the formula '{text}' cannot be read: {reason}", formula=text) from None
    if not isinstance(formula, SimpleFormula):
        raise FormulaError(f"the formula '{text}' has several parts; give one.", formula=text)
    for factor in python_factors(formula):
        _require_harmless(factor.expr, text)
    return formula


def _without_intercept(body: str) -> str:
    """Drop a leading or trailing '- 1', '+ 0' and the like: every site has its own intercept."""
    body = re.sub(r"^\s*[01]\s*\+", "", body)
    return re.sub(r"[-+]\s*[01]\s*$", "", body)


def python_factors(formula: SimpleFormula) -> Iterator[Factor]:
    """Yield the factors that are evaluated as Python.

    Parameters
    ----------
    formula : SimpleFormula
        Parsed formula.

    Yields
    ------
    Factor
        One factor such as ``C(sex)``.
    """
    for term in formula:
        for factor in term.factors:
            if factor.eval_method.value == "python":
                yield factor


def variables(formula: SimpleFormula) -> list[str]:
    """Name the covariates that a formula needs.

    Parameters
    ----------
    formula : SimpleFormula
        Parsed formula.

    Returns
    -------
    list of str
        Sorted names.

    Examples
    --------
    >>> variables(parse_formula("poly(age, 2) + C(sex) * `my score`"))
    ['age', 'my score', 'sex']
    """
    names = set()
    for term in formula:
        for factor in term.factors:
            if factor.eval_method.value == "lookup":
                names.add(factor.expr)
    for factor in python_factors(formula):
        tree, aliases = _syntax_tree(factor.expr)
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and id(node) not in functions:
                names.add(aliases.get(node.id, node.id))
    return sorted(names - {"np", "contr"})


def variables_in_categories(formula: SimpleFormula) -> set[str]:
    """Name the covariates that stand inside ``C(...)``.

    Parameters
    ----------
    formula : SimpleFormula
        Parsed formula.

    Returns
    -------
    set of str
        Names of covariates declared to be categories.

    Examples
    --------
    >>> variables_in_categories(parse_formula("age + C(sex)"))
    {'sex'}
    """
    names = set()
    for factor in python_factors(formula):
        tree, aliases = _syntax_tree(factor.expr)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called_name(node) == "C" and node.args:
                inside = node.args[0]
                if isinstance(inside, ast.Name):
                    names.add(aliases.get(inside.id, inside.id))
    return names


def _syntax_tree(expression: str) -> tuple[ast.Expression, dict[str, str]]:
    aliases: dict[str, str] = {}

    def alias(match: re.Match[str]) -> str:
        name = f"quoted_{len(aliases)}"
        aliases[name] = match.group(1)
        return name

    return ast.parse(_QUOTED.sub(alias, expression), mode="eval"), aliases


def _require_harmless(expression: str, text: str) -> None:
    try:
        tree, _ = _syntax_tree(expression)
    except SyntaxError:
        raise FormulaError(f"'{expression}' in the formula '{text}' cannot be read.") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _called_name(node)
            if name not in FUNCTIONS and name not in MODULE_FUNCTIONS:
                _refuse(expression, text)
        elif isinstance(node, ast.Attribute):
            if ast.unparse(node) not in MODULE_FUNCTIONS:
                _refuse(expression, text)
        elif not isinstance(node, _HARMLESS) or (
            isinstance(node, ast.Name) and node.id.startswith("_")
        ):
            _refuse(expression, text)


def _called_name(node: ast.Call) -> str:
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def _refuse(expression: str, text: str) -> None:
    raise FormulaError(
        f"'{expression}' in the formula '{text}' is not allowed: only covariates, numbers, "
        f"arithmetic and {', '.join(sorted(FUNCTIONS | MODULE_FUNCTIONS))} are.",
        formula=text,
        expression=expression,
    )
