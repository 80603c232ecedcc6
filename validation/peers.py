"""Run neuroCombat and neuroHarmonize for Python beside isoscan, where they differ.

    pip install neuroCombat neuroHarmonize
    python validation/peers.py

Everything is simulated. Differences are in standard deviations of the raw feature.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

import isoscan as iso
from isoscan.errors import IsoscanWarning
from isoscan.phantom import simulate_tables

FORMULA = "age + C(sex)"
Table = pd.DataFrame


def neurocombat(measures: Table, people: Table, *, as_frame: bool = False, **options: object):
    """Call neuroCombat for Python the way its users do."""
    from neuroCombat import neuroCombat

    data = measures.T if as_frame else measures.to_numpy().T
    with contextlib.redirect_stdout(io.StringIO()):
        result = neuroCombat(
            dat=data,
            covars=people[["site", "age", "sex"]],
            batch_col="site",
            categorical_cols=["sex"],
            continuous_cols=["age"],
            **options,
        )
    return pd.DataFrame(np.asarray(result["data"]).T, measures.index, measures.columns)


def neuroharmonize(measures: Table, covariates: Table):
    """Call neuroHarmonize's learning function."""
    from neuroHarmonize import harmonizationLearn

    with contextlib.redirect_stdout(io.StringIO()):
        model, result = harmonizationLearn(measures.to_numpy(), covariates)
    return model, pd.DataFrame(result, measures.index, measures.columns)


def ours(measures: Table, people: Table, **options: object) -> Table:
    """Harmonize with isoscan."""
    return iso.ComBat(FORMULA, **options).fit_transform(
        measures, sites=people.site, covariates=people
    )


def apart(first: Table, second: Table, measures: Table) -> str:
    """Say the largest difference, or how much is not a number."""
    if first.isna().any(axis=None):
        return f"{first.isna().mean(axis=None):.0%} of the values are NaN"
    spread = measures.std().mask(lambda s: s < 1e-9, 1.0)
    return f"{((first - second).abs() / spread).max(axis=None):.1e}"


def coded(people: Table) -> Table:
    """Give neuroHarmonize's form: a column SITE, everything else a number."""
    return pd.DataFrame(
        {"SITE": people.site, "age": people.age, "sex": (people.sex == "M").astype(int)}
    )


def _numpy_renamed() -> str:
    try:
        cohort = simulate_tables(random_state=0)
        theirs = neurocombat(cohort.measures, cohort.people, ref_batch="SITE01")
        mine = ours(cohort.measures, cohort.people, reference="SITE01")
        return apart(theirs, mine, cohort.measures)
    except AttributeError as error:
        return f"stops: {str(error).splitlines()[0]}"


def compare_neurocombat() -> dict[str, str]:
    """Where neuroCombat for Python differs."""
    cohort = simulate_tables(random_state=0)
    measures, people = cohort.measures, cohort.people
    found = {
        "complete data": apart(neurocombat(measures, people), ours(measures, people), measures)
    }
    rounded = people.assign(age=people.age.astype(np.float32).astype(float))
    found["complete data, ages rounded to float32 for isoscan"] = apart(
        neurocombat(measures, people), ours(measures, rounded), measures
    )
    found["measures as a DataFrame"] = apart(
        neurocombat(measures, people, as_frame=True), ours(measures, people), measures
    )
    high = measures + 1e5
    found["measures as a DataFrame, 100 000 added"] = apart(
        neurocombat(high, people, as_frame=True), ours(high, people), measures
    )
    holed = measures.copy()
    holed.iloc[3, 2] = np.nan
    found["one value missing"] = apart(neurocombat(holed, people), holed, measures)
    flat = measures.assign(flat=0.0)
    rest = list(measures.columns)
    found["a feature that is 0 everywhere: the others"] = apart(
        neurocombat(flat, people)[rest], ours(measures, people), measures
    )
    found["a feature that is 0 everywhere: itself"] = (
        f"largest value {neurocombat(flat, people)['flat'].abs().max():.1e}"
    )
    near = measures.assign(flat=2.1)
    found["a feature that is 2.1 everywhere: the others"] = apart(
        neurocombat(near, people)[rest], ours(measures, people), measures
    )
    alone = people.assign(site=people.site.where(people.index != people.index[0], "ALONE"))
    found["a site of one scan"] = apart(neurocombat(measures, alone), measures, measures)
    found["reference site"] = _numpy_renamed()
    one = measures[["region001_thickness"]]
    found["one feature"] = apart(neurocombat(one, people), one, one)
    return found


def compare_neuroharmonize() -> dict[str, str]:
    """Where neuroHarmonize differs."""
    from neuroHarmonize import harmonizationApply

    cohort = simulate_tables(random_state=0)
    measures, people = cohort.measures, cohort.people
    model, table = neuroharmonize(measures, coded(people))
    found = {"complete data": apart(table, ours(measures, people), measures)}
    with contextlib.redirect_stdout(io.StringIO()):
        swapped = harmonizationApply(
            measures.to_numpy(), coded(people)[["SITE", "sex", "age"]], model
        )
    found["apply with the covariates in another order of columns"] = apart(
        pd.DataFrame(swapped, measures.index, measures.columns), table, measures
    )
    fitted = iso.ComBat(FORMULA).fit(measures, sites=people.site, covariates=people)
    found["the same with isoscan"] = apart(
        fitted.transform(measures, sites=people.site, covariates=people[["sex", "age"]]),
        fitted.transform(measures, sites=people.site, covariates=people),
        measures,
    )
    holed = measures.copy()
    holed.iloc[3, 2] = np.nan
    found["one value missing"] = apart(neuroharmonize(holed, coded(people))[1], holed, measures)
    few = people.site != "SITE04"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            harmonizationApply(measures[few].to_numpy(), coded(people[few]), model)
        found["apply to scans of three of the four sites"] = "runs"
    except Exception as error:
        found["apply to scans of three of the four sites"] = f"stops: {error}"
    return found


def main() -> int:
    """Print what was found as Markdown tables."""
    warnings.simplefilter("ignore", IsoscanWarning)
    warnings.simplefilter("ignore", RuntimeWarning)
    for package, compare in (
        ("neuroCombat", compare_neurocombat),
        ("neuroHarmonize", compare_neuroharmonize),
    ):
        print(f"\n## {package} {version(package)}, numpy {np.__version__}\n")
        print("| case | neuroCombat or neuroHarmonize against isoscan |\n|---|---|")
        for case, result in compare().items():
            print(f"| {case} | {result} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
