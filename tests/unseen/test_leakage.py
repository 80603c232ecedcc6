"""Metrics of image quality name the scanner: what random folds show is memory, not transfer.

The table of MRIQC's metrics of 17 ABIDE scanners that ships with mriqc-learn, its tissue
fractions as measures.
"""

from importlib.resources import as_file, files

import pytest

import isoscan as iso
from isoscan.errors import DataError
from isoscan.report.unseen_facts import collect_unseen_facts
from isoscan.unseen import UnseenScanner
from isoscan.unseen.metrics import METRICS, metric_values

pytest.importorskip("mriqc_learn", reason="needs the package mriqc-learn")

OF_BRAIN_OR_GRID = ("icvs_", "rpve_", "tpm_overlap_", "size_", "spacing_")


@pytest.fixture(scope="module")
def table():
    with as_file(files("mriqc_learn") / "datasets" / "abide.tsv") as path:
        return iso.read_table(path, index="subject_id")


@pytest.fixture(scope="module")
def fractions(table):
    return table[[name for name in table if name.startswith("icvs_")]]


@pytest.fixture(scope="module")
def quality(table):
    """The 49 metrics that measure neither the brain nor the grid."""
    kept = [name for name in METRICS if not name.startswith(OF_BRAIN_OR_GRID)]
    return table[[name for name in kept if not name.endswith("_n")]]


def forest_r2(inputs, wanted, folds, sites=None):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import cross_val_predict

    forest = RandomForestRegressor(20, max_features=1 / 3, random_state=0)
    return r2_score(wanted, cross_val_predict(forest, inputs, wanted, cv=folds, groups=sites))


def test_a_forest_remembers_scanners_and_knows_nothing_of_others(table, fractions, quality):
    from sklearn.model_selection import KFold, LeaveOneGroupOut

    assert quality.shape[1] == 49
    after = iso.ComBat().fit_transform(fractions, sites=table.site)
    corrections = (after - fractions).to_numpy()
    inputs = metric_values(quality, list(quality))
    inputs = inputs.fillna(inputs.median()).to_numpy()
    random = KFold(5, shuffle=True, random_state=0)
    assert forest_r2(inputs, corrections, random) > 0.9
    assert forest_r2(inputs, corrections, LeaveOneGroupOut(), table.site) <= 0.1


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
def test_where_nothing_transfers_the_model_does_no_harm_and_the_report_says_so(
    table, fractions, quality
):
    model = UnseenScanner(use_volumes=False)
    data = {"quality": quality, "sites": table.site}
    left_out = iso.leave_one_scanner_out(model, fractions, few=(), **data)
    own = left_out.table.loc["0 scans"]
    assert own["error_ratio"] <= 1.02
    assert own["r2_mean"] <= 0.1
    assert own["coverage"] == pytest.approx(0.9, abs=0.1)
    assert left_out.table.loc["nearest scanner", "error_ratio"] > 1.1
    model.fit(fractions, **data)
    verdict = collect_unseen_facts(model, left_out=left_out)["verdict"]
    assert verdict["transfer"] in ("none", "not shown")
    assert verdict["headline"].startswith("No transfer")


@pytest.mark.filterwarnings("ignore::isoscan.errors.IsoscanWarning")
def test_a_random_split_is_refused_unless_forced_and_then_flatters(table, fractions, quality):
    model = UnseenScanner(use_volumes=False)
    data = {"quality": quality, "sites": table.site, "few": ()}
    with pytest.raises(DataError, match="names the scanner"):
        iso.leave_one_scanner_out(model, fractions, split="random", **data)
    forced = iso.leave_one_scanner_out(model, fractions, split="random", force=True, **data)
    assert forced.table.loc["nearest scanner", "error_ratio"] < 0.6
