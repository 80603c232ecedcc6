"""Tables are joined by id; rows without a partner are named."""

import numpy as np
import pandas as pd
import pytest

from isoscan.errors import (
    AlignmentWarning,
    DuplicateIdsError,
    TableFormatError,
    UnmatchedRowsError,
)
from isoscan.tables import align_rows, join_tables


def table(name, ids, **columns):
    values = np.arange(len(ids), dtype=float)
    return pd.DataFrame({name: values, **columns}, index=ids)


def test_order_of_rows_does_not_matter():
    left, right = table("lh", ["a", "b", "c"]), table("rh", ["a", "b", "c"])
    joined = join_tables({"left": left, "right": right})
    shuffled = join_tables({"left": left, "right": right.loc[["c", "a", "b"]]})
    pd.testing.assert_frame_equal(joined, shuffled)


def test_rows_without_a_partner_are_named_with_their_file():
    tables = {"lh.tsv": table("lh", ["a", "b"]), "rh.tsv": table("rh", ["b", "c"])}
    with pytest.raises(UnmatchedRowsError) as caught:
        join_tables(tables)
    assert "1 of 3 ids not in lh.tsv: 'c'; 1 of 3 ids not in rh.tsv: 'a'" in str(caught.value)
    assert caught.value.ids == ["c", "a"]
    assert caught.value.absent == {"lh.tsv": ["c"], "rh.tsv": ["a"]}


def test_rows_without_a_partner_are_left_out_on_request_and_named():
    tables = {"lh.tsv": table("lh", ["a", "b"]), "rh.tsv": table("rh", ["b", "c"])}
    with pytest.warns(AlignmentWarning, match=r"2 rows without a partner .*'c'.*'a'"):
        assert join_tables(tables, unmatched="drop").index.tolist() == ["b"]


def test_tables_of_different_people_are_refused_even_if_rows_may_be_dropped():
    tables = {"lh": table("lh", ["07"]), "rh": table("rh", ["sub-07"])}
    with pytest.raises(UnmatchedRowsError, match="'sub-07' is there with another prefix"):
        join_tables(tables, unmatched="drop")


def test_repeated_ids_are_refused():
    with pytest.raises(DuplicateIdsError, match="of rh occur"):
        join_tables({"lh": table("lh", ["a"]), "rh": table("rh", ["a", "a"])})


def test_repeated_columns_that_agree_up_to_rounding_appear_once():
    left = table("lh", ["a", "b"], eTIV=[1500000.0, np.nan])
    right = table("rh", ["b", "a"], eTIV=[np.nan, 1500000.4])
    joined = join_tables({"lh": left, "rh": right})
    assert joined.columns.tolist() == ["lh", "eTIV", "rh"]
    assert joined.loc["a", "eTIV"] == 1500000.0


@pytest.mark.parametrize(
    ("one", "other"),
    [([1.0, 2.0], [1.0, 2.1]), ([1.0, 2.0], [1.0, np.nan]), (["A", "B"], ["A", "C"])],
)
def test_repeated_columns_that_differ_are_refused_by_name(one, other):
    tables = {"lh": table("lh", ["a", "b"], total=one), "rh": table("rh", ["a", "b"], total=other)}
    with pytest.raises(TableFormatError, match="total differs between lh and rh in 1 row: 'b'"):
        join_tables(tables)


def test_unknown_way_to_treat_rows_is_refused():
    with pytest.raises(ValueError, match="unmatched is 'inner'"):
        join_tables({"a": table("a", ["x"])}, unmatched="inner")


def test_inputs_are_not_modified():
    left, right = table("lh", ["a", "b"], t=[1.0, 2.0]), table("rh", ["b", "a"], t=[2.0, 1.0])
    before = left.copy(), right.copy()
    join_tables({"lh": left, "rh": right})
    pd.testing.assert_frame_equal(left, before[0])
    pd.testing.assert_frame_equal(right, before[1])


def test_ids_that_lost_their_zeros_are_explained():
    with pytest.raises(UnmatchedRowsError, match="'001' differs only in type or leading zeros"):
        align_rows(pd.Series([1.0], index=[1]), pd.Index(["001"]))


def test_covariates_of_nobody_are_left_out_with_a_warning():
    with pytest.warns(AlignmentWarning, match="1 row of covariates"):
        aligned = align_rows(pd.Series([1, 2], index=["a", "b"]), pd.Index(["b"]))
    assert aligned.tolist() == [2]
