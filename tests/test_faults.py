"""Bad input gets one clear sentence, or is handled and said so: the table of faults.

One row per fault. `outcome` is what happens: an error class, a warning class, or None
where the input is simply understood. `sentence` is a pattern its message must contain.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import isoscan as iso
from isoscan import errors
from isoscan.description import describe
from isoscan.phantom import simulate_tables

pytestmark = pytest.mark.filterwarnings("ignore::isoscan.errors.ExtrapolationWarning")


class Study:
    """A small well-behaved study: 60 scans, 3 sites, 12 measures."""

    def __init__(self) -> None:
        cohort = simulate_tables(12, (24, 20, 16), random_state=5)
        self.X = cohort.measures.set_axis([f"f{i + 1}" for i in range(12)], axis=1)
        self.people = cohort.people.replace({"site": {"SITE01": "A", "SITE02": "B", "SITE03": "C"}})
        self.first = self.X.index[0]

    def fit(self, formula: str | None = "age + C(sex)", **options) -> pd.DataFrame:
        return iso.ComBat(formula, **options).fit_transform(
            self.X, sites=self.people.site, covariates=self.people
        )

    def model(self, formula: str | None = "age + C(sex)", **options) -> iso.ComBat:
        return iso.ComBat(formula, **options).fit(
            self.X, sites=self.people.site, covariates=self.people
        )

    def put(self, column: str, value, rows=slice(0, 1)) -> Study:
        table = self.X if column in self.X else self.people
        table = table.astype({column: object}) if isinstance(value, str) else table
        table.loc[table.index[rows], column] = value
        if column in self.X:
            self.X = table
        else:
            self.people = table
        return self

    def rows(self, site: str) -> np.ndarray:
        return np.flatnonzero(self.people.site == site)


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    number: int
    what: str
    do: Callable[[Study], object]
    outcome: type | None
    sentence: str = ""
    check: Callable[[Study, object], bool] | None = None


def _finite(study: Study, result: object) -> bool:
    return bool(np.isfinite(np.asarray(result, dtype=float)).all())


def _describe(study: Study, formula: str | None = "age + C(sex)") -> str:
    facts = describe(study.X, sites=study.people.site, covariates=study.people, preserve=formula)
    return " ".join(finding["sentence"] for finding in facts["findings"])


def _says(pattern: str) -> Callable[[Study, object], bool]:
    import re

    return lambda study, result: re.search(pattern, str(result)) is not None


def _one_site(study: Study):
    study.people["site"] = "A"
    return study.fit()


def _sex_by_site(study: Study):
    study.people["sex"] = np.where(study.people.site == "A", "F", "M")
    return study.fit()


def _patients_at_one_site(study: Study) -> str:
    study.people["diagnosis"] = np.where(
        (study.people.site == "A") & (np.arange(60) % 2 == 0), "patient", "control"
    )
    return _describe(study, "age + C(diagnosis)")


def _as_read(tmp: str) -> Callable[[Study], object]:
    """Write a table as text and read it back."""

    def do(study: Study) -> object:
        from pathlib import Path
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            path = Path(folder) / "participants.tsv"
            path.write_text(tmp)
            return iso.read_participants(path)

    return do


def _with_sites(labels: list) -> Callable[[Study], object]:
    def do(study: Study) -> object:
        study.people["site"] = pd.Series(
            np.array(labels, dtype=object)[np.arange(60) % len(labels)], index=study.people.index
        ).infer_objects()
        return study.model()

    return do


def _duplicate_ids(study: Study):
    study.X = study.X.rename(index={study.X.index[1]: study.first})
    return study.fit()


def _shuffled(study: Study):
    study.people = study.people.sample(frac=1, random_state=0)
    return study.fit()


def _numeric_ids(study: Study):
    study.X.index = [f"{i:03d}" for i in range(60)]
    study.people.index = range(60)
    return study.fit()


def _people_missing(study: Study):
    study.people = study.people.drop(study.people.index[:12])
    return study.fit()


def _transposed(study: Study):
    return iso.ComBat().fit(study.X.T.to_numpy(), sites=study.people.site.tolist())


def _age_as_text(sign: str) -> Callable[[Study], object]:
    def do(study: Study) -> object:
        study.people["age"] = study.people.age.astype(str).str.replace(".", sign)
        return study.fit()

    return do


def _all_missing(study: Study):
    study.X["f3"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ConstantFeatureWarning)
        return study.fit()


def _copies(study: Study):
    rows = study.rows("B")
    study.X.iloc[rows] = study.X.iloc[rows[0]].to_numpy()
    return study.fit()


def _units(study: Study):
    study.X.iloc[study.rows("B")] *= 1000
    return _describe(study)


def _transform(study: Study, change: Callable[[Study], None], **options):
    model = study.model(**options)
    change(study)
    return model.transform(study.X, sites=study.people.site, covariates=study.people)


def _set_people(**columns) -> Callable[[Study], None]:
    def change(study: Study) -> None:
        for name, value in columns.items():
            study.people.loc[study.people.index[:2], name] = value

    return change


def _rename_first(study: Study) -> None:
    study.X = study.X.rename(columns={"f1": "g1"})


def _reordered(study: Study):
    expected = study.fit()
    model = study.model()
    X = study.X.iloc[:, ::-1]
    mine = model.transform(X, sites=study.people.site, covariates=study.people)
    return mine[expected.columns].equals(expected)


def _one_subject(study: Study):
    bulk = study.fit()
    one = study.X.iloc[[7]]
    mine = study.model().transform(one, sites=study.people.site, covariates=study.people)
    return mine.equals(bulk.iloc[[7]])


def _ages_beyond(study: Study):
    with warnings.catch_warnings():
        warnings.simplefilter("always", errors.ExtrapolationWarning)
        return _transform(study, _set_people(age=99.0))


def _many_sites(study: Study):
    cohort = simulate_tables(5, (3,) * 1000, random_state=0)
    return iso.ComBat("age").fit_transform(
        cohort.measures, sites=cohort.people.site, covariates=cohort.people
    )


def _floats(study: Study):
    model = study.model()
    del model
    study.people["site"] = pd.Series([1, 2, 3] * 20, index=study.people.index)
    integers = study.model()
    study.people["site"] = study.people["site"].astype(float)
    integers.transform(study.X, sites=study.people.site, covariates=study.people)
    return integers.sites_


FAULTS = [
    Fault(
        1,
        "one missing value",
        lambda s: s.put("f4", np.nan).fit(),
        errors.MissingValuesWarning,
        r"1 of 720 values missing, in 1 feature \('f4'\)",
        lambda s, r: int(r.isna().sum().sum()) == 1,
    ),
    Fault(
        2,
        "a feature that is missing everywhere",
        _all_missing,
        errors.MissingValuesWarning,
        r"60 of 720 values missing, in 1 feature \('f3'\)",
        lambda s, r: r["f3"].isna().all() and r.drop(columns="f3").notna().all(axis=None),
    ),
    Fault(
        3,
        "an infinite value",
        lambda s: s.put("f4", np.inf, slice(4, 5)).fit(),
        errors.InfiniteValuesError,
        r"feature 'f4' is infinite \(scan 'sub-0005', row 5\)",
    ),
    Fault(
        4,
        "a constant feature",
        lambda s: s.put("f2", 2.5, slice(None)).fit(),
        errors.ConstantFeatureWarning,
        r"'f2'",
        lambda s, r: r["f2"].eq(2.5).all(),
    ),
    Fault(
        5,
        "a feature constant at one site",
        lambda s: s.put("f2", 2.5, s.rows("A")).fit(),
        errors.ConstantFeatureWarning,
        r"variance 0 at a site: 'f2' at 'A'.*rests on the prior",
        _finite,
    ),
    Fault(
        6,
        "a site where nothing varies",
        _copies,
        errors.NoVarianceError,
        r"every feature is constant at 'B'",
    ),
    Fault(
        7,
        "a site of one scan",
        lambda s: s.put("site", "D").fit(),
        errors.TooFewScansError,
        r"site 'D' has 1 scan; .*Merge the site .*leave it out .*small_sites='mean-only'",
    ),
    Fault(
        8,
        "a site of three scans",
        lambda s: s.put("site", "D", slice(0, 3)).fit(),
        errors.SmallSiteWarning,
        r"1 site with fewer than 10 scans: 'D' \(3\)",
        _finite,
    ),
    Fault(
        9,
        "only one site",
        _one_site,
        errors.TooFewSitesError,
        r"nothing to harmonize: all 60 scans come from 1 site, 'A'.*--allow-single",
    ),
    Fault(
        10,
        "a covariate determined by site",
        _sex_by_site,
        errors.ConfoundedDesignError,
        r"'sex' is determined by site: all 24 scans with 'F' are at 'A', all 36 with 'M' at "
        r"'B', 'C'.*cannot be separated",
    ),
    Fault(
        11,
        "patients at one site only",
        _patients_at_one_site,
        None,
        "",
        _says(r"diagnosis: 2 of 3 sites have one level only: 'B' \(only control\)"),
    ),
    Fault(
        12,
        "more columns than scans",
        lambda s: s.fit("C(age) * C(sex)"),
        errors.TooManyTermsError,
        r"\d+ columns for 60 scans: nothing is left",
    ),
    Fault(
        13,
        "a constant covariate",
        lambda s: s.put("sex", "F", slice(None)).fit(),
        errors.ConstantTermError,
        r"'sex' is 'F' for all 60 scans.*Drop it",
    ),
    Fault(
        13,
        "an intercept in the formula",
        lambda s: s.fit("1 + age + C(sex)"),
        None,
        "",
        lambda s, r: r.equals(s.fit("age + C(sex)")),
    ),
    Fault(
        14,
        "a missing covariate value",
        lambda s: s.put("age", np.nan).fit(),
        errors.MissingValuesError,
        r"'age' is missing for 1 of 60 scans: 'sub-0001'.*--drop-incom",
    ),
    Fault(
        15,
        "a missing site",
        lambda s: s.put("site", None).fit(),
        errors.SiteLabelError,
        r"site is missing for 1 scan: 'sub-0001'",
    ),
    Fault(
        15,
        "a blank site",
        lambda s: s.put("site", " ").fit(),
        errors.SiteLabelError,
        r"site is missing for 1 scan: 'sub-0001'",
    ),
    Fault(
        16,
        "a site called NA",
        _as_read("participant_id\tsite\tage\ns1\tNA\t3\ns2\tNone\t4\n"),
        None,
        "",
        lambda s, r: r.site.tolist() == ["NA", "None"],
    ),
    Fault(
        17,
        "sites that are numbers",
        _with_sites([1, 2, 10]),
        None,
        "",
        lambda s, r: r.sites_ == ["1", "10", "2"],
    ),
    Fault(
        18,
        "sites 1.0 where the model knows 1",
        _floats,
        errors.SiteLabelWarning,
        r"floating-point numbers; whole numbers are read without the decimal point",
        lambda s, r: r == ["1", "2", "3"],
    ),
    Fault(
        18,
        "sites that mix 1 and '1'",
        _with_sites([1, "1", "2"]),
        errors.SiteLabelError,
        r"labels mix integers and text, e\.g\. 1 and '1'",
    ),
    Fault(
        19,
        "labels that differ by case or space",
        _with_sites(["GE", "ge", "GE ", "Philips"]),
        errors.SiteLabelWarning,
        r"'GE', 'GE ', 'ge' differ only by case or space.*--normalize",
    ),
    Fault(
        20,
        "labels in any script",
        _with_sites(["東京", "B/2", "Sa\u0303o Paulo"]),
        None,
        "",
        lambda s, r: r.sites_ == ["B/2", "S\u00e3o Paulo", "東京"],
    ),
    Fault(
        21,
        "labels that look like formulas",
        _with_sites(["C(site)", "age", "`x`"]),
        None,
        "",
        lambda s, r: r.sites_ == ["C(site)", "`x`", "age"],
    ),
    Fault(
        22,
        "an id that occurs twice",
        _duplicate_ids,
        errors.DuplicateIdsError,
        r"1 id of measures .*'sub-0001'.*--session",
    ),
    Fault(23, "ids in another order", _shuffled, None, "", lambda s, r: r.equals(Study().fit())),
    Fault(
        24,
        "ids '001' and 1",
        _numeric_ids,
        errors.UnmatchedRowsError,
        r"60 of 60 scans have no .*text",
    ),
    Fault(
        24,
        "ids with leading zeros",
        _as_read("participant_id\tage\n001\t3\n010\t4\n"),
        None,
        "",
        lambda s, r: r.index.tolist() == ["001", "010"],
    ),
    Fault(
        25,
        "scans without covariates",
        _people_missing,
        errors.UnmatchedRowsError,
        r"12 of 60 scans have no sites: 'sub-0001', .*and 7 more",
    ),
    Fault(
        26,
        "a transposed table",
        _transposed,
        errors.DataError,
        r"sites has 60 rows, X has 12\. X has 60 columns: is it transposed\?",
    ),
    Fault(
        27,
        "numbers read as text",
        _age_as_text("."),
        None,
        "",
        lambda s, r: r.equals(Study().fit()),
    ),
    Fault(
        27,
        "decimal commas",
        _age_as_text(","),
        errors.NotNumericError,
        r"age: 60 values not a number, e\.g\. '\d+,\d' \(row sub-0001\); decimal comma\?.*--decimal ,",
    ),
    Fault(
        28,
        "a code for missing",
        lambda s: _describe(s.put("age", 9999)),
        None,
        "",
        _says(r"age = 9,?999 in 1 scan .* SD away"),
    ),
    Fault(
        29,
        "a site in other units",
        _units,
        None,
        "",
        _says(r"Site 'B': the medians of 12 of 12 features are about 1014 times"),
    ),
    Fault(
        30,
        "one feature",
        lambda s: setattr(s, "X", s.X[["f1"]]) or s.fit(),
        errors.PriorWarning,
        r"with 1 feature there is nothing to learn a prior from",
        _finite,
    ),
    Fault(
        31,
        "two features",
        lambda s: setattr(s, "X", s.X[["f1", "f2"]]) or s.fit(),
        errors.PriorWarning,
        r"learned from 2 features only",
        _finite,
    ),
    Fault(
        32,
        "whole numbers",
        lambda s: setattr(s, "X", (s.X * 1000).round().astype(int)) or s.fit(),
        None,
        "",
        lambda s, r: r.dtypes.eq(float).all() and _finite(s, r),
    ),
    Fault(
        33,
        "float32 with a large mean",
        lambda s: (
            setattr(s, "X", ((s.X - s.X.mean()) / s.X.std() + 1e6).astype(np.float32)) or s.fit()
        ),
        errors.PrecisionWarning,
        r"12 features stored in float32, whose steps are \d+ %",
        _finite,
    ),
    Fault(
        34,
        "numbers in an object column",
        lambda s: setattr(s, "X", s.X.astype({"f1": object})) or s.fit(),
        None,
        "",
        lambda s, r: r.equals(Study().fit()),
    ),
    Fault(
        34,
        "another byte order",
        lambda s: iso.ComBat().fit_transform(
            s.X.to_numpy().astype(">f8"), sites=s.people.site.tolist()
        ),
        None,
        "",
        _finite,
    ),
    Fault(
        34,
        "words in a feature",
        lambda s: s.put("f5", "n.a.", slice(2, 3)).fit(),
        errors.NotNumericError,
        r"feature 'f5' is not numeric: 1 value such as 'n\.a\.' \(scan sub-0003\)",
    ),
    Fault(
        35,
        "a category nobody has",
        lambda s: (
            s.people.__setitem__("sex", pd.Categorical(s.people.sex, ["F", "M", "X"])) or s.fit()
        ),
        None,
        "",
        lambda s, r: r.equals(Study().fit()),
    ),
    Fault(
        36,
        "a new site at apply",
        lambda s: _transform(s, _set_people(site="NEW")),
        errors.UnknownSiteError,
        r"2 of 60 scans come from sites this model has not seen: 'NEW' \(2\)\. Known: 'A', 'B', 'C'",
    ),
    Fault(
        37,
        "a new category at apply",
        lambda s: _transform(s, _set_people(sex="X")),
        errors.UnseenLevelError,
        r"'sex' is 'X' for 2 scans .*Known levels: 'F', 'M'",
    ),
    Fault(38, "columns in another order at apply", _reordered, None, "", lambda s, r: r is True),
    Fault(
        39,
        "a covariate missing at apply",
        lambda s: _transform(s, lambda t: t.people.pop("age")),
        errors.MissingCovariateError,
        r"1 covariate of the formula not found: 'age'\. The table has",
    ),
    Fault(
        40,
        "other features at apply",
        lambda s: _transform(s, _rename_first),
        errors.FeatureMismatchError,
        r"1 absent: 'f1'; 1 unknown to the model: 'g1'",
    ),
    Fault(41, "one subject of a known site", _one_subject, None, "", lambda s, r: r is True),
    Fault(
        42,
        "ages beyond training",
        _ages_beyond,
        errors.ExtrapolationWarning,
        r"'age' of 2 scans lies outside the training range \d+.* to \d+",
        _finite,
    ),
    Fault(
        43,
        "a thousand sites of three",
        _many_sites,
        errors.SmallSiteWarning,
        r"1000 sites with fewer than 10 scans: .* and 992 more",
        _finite,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.number}: {fault.what}")
def test_fault_is_answered_in_one_sentence(fault: Fault) -> None:
    study = Study()
    if fault.outcome is None:
        result = fault.do(study)
    elif issubclass(fault.outcome, Warning):
        with pytest.warns(fault.outcome, match=fault.sentence):
            result = fault.do(study)
    else:
        with pytest.raises(fault.outcome, match=fault.sentence) as caught:
            fault.do(study)
        assert isinstance(caught.value, errors.IsoscanError)
        assert "\n" not in str(caught.value)
        return
    assert fault.check is None or fault.check(study, result)


def test_every_fault_of_tables_is_in_the_table() -> None:
    assert {fault.number for fault in FAULTS} == set(range(1, 44))
