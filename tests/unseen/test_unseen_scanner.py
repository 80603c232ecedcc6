"""Claims of the model of unknown scanners, on a cohort whose truth is known."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

import isoscan as iso
from isoscan.errors import (
    DataError,
    ExtrapolationError,
    ExtrapolationWarning,
    FeatureMismatchError,
    MissingColumnError,
    MissingValuesError,
    MissingValuesWarning,
    ModelFileError,
    TooFewSitesError,
    UnseenLevelError,
)
from isoscan.phantom import ScannerPhantom, simulate_scanners
from isoscan.unseen import UnseenScanner

NEW = "SCANNER01"


@cache
def cohort() -> ScannerPhantom:
    return simulate_scanners(16, 20, 20, random_state=3)


def parts(known: bool) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    scans = cohort()
    rows = (scans.people.site != NEW) == known
    people = scans.people[rows]
    return scans.measures[rows], {"quality": scans.quality[rows], "covariates": people}


def fit(model: UnseenScanner | None = None) -> UnseenScanner:
    measures, rest = parts(known=True)
    model = UnseenScanner("age + C(sex)") if model is None else clone(model)
    return model.fit(measures, sites=rest["covariates"].site, **rest)


def off(table: pd.DataFrame) -> float:
    """Mean distance of scans of the new scanner from how the others see people."""
    clean, known = cohort().clean, cohort().people.site != NEW
    usual = (cohort().measures - clean)[known].mean()
    return float(((table - clean.loc[table.index]).mean() - usual).abs().mean())


@cache
def fitted() -> UnseenScanner:
    return fit()


def test_one_scan_gets_the_same_bits_alone_in_bulk_in_any_order_and_twice() -> None:
    measures, rest = parts(known=False)
    together = fitted().transform(measures, **rest)
    for row in (0, 7, 19):
        alone = fitted().transform(measures.iloc[[row]], **rest)
        pd.testing.assert_frame_equal(alone, together.iloc[[row]], check_exact=True)
    order = np.random.default_rng(0).permutation(len(measures))
    shuffled = fitted().transform(measures.iloc[order], **rest)
    pd.testing.assert_frame_equal(shuffled, together.iloc[order], check_exact=True)
    twice = [0, 0, 3]
    repeated = fitted().transform(
        measures.iloc[twice],
        quality=rest["quality"].iloc[twice],
        covariates=rest["covariates"].iloc[twice],
    )
    pd.testing.assert_frame_equal(repeated, together.iloc[twice], check_exact=True)


def test_a_model_read_in_a_new_process_gives_identical_bits(tmp_path) -> None:
    measures, rest = parts(known=False)
    fitted().save(tmp_path / "model.isoscan")
    measures.to_pickle(tmp_path / "measures.pkl")
    for name, table in rest.items():
        table.to_pickle(tmp_path / f"{name}.pkl")
    script = (
        "import isoscan as iso, pandas as pd; r = lambda n: pd.read_pickle(n + '.pkl')\n"
        "model = iso.load('model.isoscan')\n"
        "after = model.transform(r('measures'), quality=r('quality'), covariates=r('covariates'))\n"
        "after.to_pickle('after.pkl')"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    after = pd.read_pickle(tmp_path / "after.pkl")
    pd.testing.assert_frame_equal(after, fitted().transform(measures, **rest), check_exact=True)


def test_unknown_scanners_come_closer_where_images_tell_their_shift() -> None:
    table = fitted().scanners_
    assert fitted().strength_ > 0.8
    assert table.shift_after.mean() < 0.6 * table.shift_before.mean()
    measures, rest = parts(known=False)
    after = fitted().transform(measures, **rest)
    assert off(after) < 0.7 * off(measures)


def test_nothing_is_done_where_nothing_can_be_learned() -> None:
    scans = simulate_scanners(10, 15, 10, told=0.0, random_state=5)
    with pytest.warns(ExtrapolationWarning, match="no transfer"):
        model = UnseenScanner("age + C(sex)", use_volumes=False).fit(
            scans.measures, quality=scans.quality, sites=scans.people.site, covariates=scans.people
        )
    assert model.strength_ == 0.0
    after = model.transform(scans.measures, quality=scans.quality, covariates=scans.people)
    pd.testing.assert_frame_equal(after, scans.measures)


def test_few_scans_bring_a_scanner_closer_and_more_bring_it_closer_still() -> None:
    measures, rest = parts(known=False)
    others = measures.iloc[10:]
    left = [off(others)]
    for n_scans in (3, 10):
        model = fitted().calibrate(measures.iloc[:n_scans], covariates=rest["covariates"])
        left.append(off(model.transform(others, covariates=rest["covariates"])))
    assert left[0] > left[1] > left[2]
    assert fitted().calibration_ is None


def test_calibrating_does_not_depend_on_the_order_of_scans() -> None:
    measures, rest = parts(known=False)
    models = [
        fitted().calibrate(measures.iloc[rows], covariates=rest["covariates"]).calibration_
        for rows in ([0, 1, 2], [2, 0, 1])
    ]
    np.testing.assert_allclose(models[0].shift, models[1].shift, rtol=1e-12)
    np.testing.assert_allclose(models[0].log_scale, models[1].log_scale, rtol=1e-12)


def test_many_scans_bring_the_estimate_of_a_new_scanner_to_that_of_its_sample() -> None:
    measures, rest = parts(known=False)
    many = pd.concat([measures] * 200, ignore_index=True)
    people = pd.concat([rest["covariates"]] * 200, ignore_index=True)
    model = fitted().calibrate(many, covariates=people)
    mean = fitted().residuals(measures, covariates=rest["covariates"]).values.mean(axis=0)
    np.testing.assert_allclose(model.calibration_.shift, mean, atol=0.01)


def test_preserved_age_survives_and_removed_age_goes() -> None:
    measures, rest = parts(known=False)
    age = rest["covariates"].age - rest["covariates"].age.mean()

    def slope(table: pd.DataFrame) -> np.ndarray:
        return (age.to_numpy() @ (table - table.mean()).to_numpy()) / (age**2).sum()

    model = fitted().calibrate(measures, covariates=rest["covariates"])
    kept = slope(model.transform(measures, covariates=rest["covariates"]))
    before = slope(measures)
    assert abs(kept @ before / (before @ before) - 1) < 0.05
    without = fit(UnseenScanner("C(sex)", remove="age"))
    effect = fitted().reference_.model_.slopes[0]
    gone = slope(without.transform(measures, **rest)) - slope(fitted().transform(measures, **rest))
    np.testing.assert_allclose(gone, -effect, rtol=0.2, atol=1e-4)


def test_people_of_a_scanner_keep_their_differences() -> None:
    kept = fitted().biology_.kept
    assert kept["correlation of people"] > 0.95
    assert 0.94 < kept["spread of people"] < 1.06
    assert 0.9 < kept["effect of age"] < 1.1


def test_intervals_cover_what_they_promise() -> None:
    scans = cohort()
    inside = []
    for scanner in sorted(scans.people.site.unique())[:5]:
        held = scans.people.site == scanner
        people = scans.people[~held]
        model = UnseenScanner("age + C(sex)").fit(
            scans.measures[~held], quality=scans.quality, sites=people.site, covariates=people
        )
        told = model.predict(
            scans.measures[held], quality=scans.quality, covariates=scans.people
        ).set_index(["scan", "feature"])
        truth = (scans.clean - scans.measures)[held].stack()
        truth = (
            truth
            - (scans.clean[~held] - scans.measures[~held])
            .mean()
            .reindex(truth.index.get_level_values(1))
            .to_numpy()
        )
        inside.append(((told.low <= truth) & (truth <= told.high)).mean())
    assert 0.85 < np.mean(inside) <= 0.99


def test_a_scan_unlike_training_is_corrected_less_or_not_or_refused() -> None:
    measures, rest = parts(known=False)
    odd = rest["quality"].copy()
    odd.iloc[0] = odd.iloc[0] * 50
    far = measures.copy()
    far.iloc[0] += 8 * measures.std()
    with pytest.warns(ExtrapolationWarning, match="'sub-0001'"):
        told = fitted().predict(far, quality=odd, covariates=rest["covariates"])
    first = told[told.scan == "sub-0001"]
    assert first.shift_score.iloc[0] > fitted().usual_score_
    identity = clone(fitted())
    identity.__dict__ |= fitted().__dict__ | {"on_shift": "identity"}
    with pytest.warns(ExtrapolationWarning, match="left as they are"):
        after = identity.transform(far, quality=odd, covariates=rest["covariates"])
    np.testing.assert_array_equal(after.iloc[0], far.iloc[0])
    identity.on_shift = "raise"
    with pytest.raises(ExtrapolationError, match="1 of 20 scans are unlike"):
        identity.transform(far, quality=odd, covariates=rest["covariates"])


def test_relative_volumes_are_corrected_in_every_way_of_adjusting_for_head_size() -> None:
    scans = simulate_scanners(9, 12, 12, random_state=8)
    random = np.random.default_rng(1)
    head = pd.Series(random.normal(1.5e6, 1e5, len(scans.people)), scans.people.index)
    volumes = (scans.measures * 1e-3).mul(head, axis=0).assign(eTIV=head)
    new = scans.people.site == "SCANNER02"
    for strategy in ("ratio", "residual", "power", "harmonized"):
        model = UnseenScanner("age + C(sex)", total="eTIV", total_strategy=strategy)
        people = scans.people[~new]
        model.fit(volumes[~new], quality=scans.quality, sites=people.site, covariates=people)
        after = model.transform(volumes[new], quality=scans.quality, covariates=scans.people)
        assert list(after.columns) == list(scans.measures.columns)
        assert np.isfinite(after.to_numpy()).all()
        at_site = model.calibrate(
            volumes[new].iloc[:4], quality=scans.quality, covariates=scans.people
        )
        known = at_site.transform(volumes[new], quality=scans.quality, covariates=scans.people)
        assert np.isfinite(known.to_numpy()).all()


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("strategy", ["ratio", "harmonized", "power"])
def test_every_kind_of_model_survives_its_file(tmp_path, strategy, calibrated) -> None:
    measures, rest = parts(known=False)
    volumes = (measures * 1000).assign(eTIV=np.linspace(1.3e6, 1.7e6, len(measures)))
    train, known = parts(known=True)
    training = (train * 1000).assign(eTIV=np.tile(np.linspace(1.3e6, 1.7e6, 20), 15))
    model = UnseenScanner("age + C(sex)", total="eTIV", total_strategy=strategy)
    model.fit(training, sites=known["covariates"].site, **known)
    if calibrated:
        model = model.calibrate(volumes.iloc[:3], **rest)
    model.save(tmp_path / "model.isoscan")
    again = iso.load(tmp_path / "model.isoscan")
    assert again.hash_ == model.hash_
    pd.testing.assert_frame_equal(
        again.transform(volumes, **rest), model.transform(volumes, **rest), check_exact=True
    )
    pd.testing.assert_frame_equal(again.scanners_, model.scanners_, check_dtype=False)


def test_a_model_file_names_no_scan(tmp_path) -> None:
    fitted().save(tmp_path / "model.isoscan")
    content = (tmp_path / "model.isoscan").read_bytes()
    assert b"sub-" not in content


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    measures, rest = parts(known=True)
    iso.ComBat().fit(measures, sites=rest["covariates"].site).save(tmp_path / "m.isoscan")
    with pytest.raises(ModelFileError, match="holds a model of 'ComBat'"):
        UnseenScanner.load(tmp_path / "m.isoscan")


def test_too_few_scanners_are_refused_with_the_reason() -> None:
    measures, rest = parts(known=True)
    two = rest["covariates"].site.isin(["SCANNER02", "SCANNER03"])
    with pytest.raises(TooFewSitesError, match=r"2 training scanners.*at least 3"):
        UnseenScanner("age").fit(
            measures[two], sites=rest["covariates"].site[two], covariates=rest["covariates"][two]
        )
    with pytest.raises(TooFewSitesError, match="1 site"):
        UnseenScanner("age").fit(
            measures.iloc[:20],
            sites=rest["covariates"].site[:20],
            covariates=rest["covariates"].iloc[:20],
        )


@pytest.mark.filterwarnings("ignore:1 site with fewer than 10 scans")
def test_few_scanners_are_warned_of_and_a_scanner_of_three_scans_takes_part() -> None:
    measures, rest = parts(known=True)
    sites = rest["covariates"].site
    some = np.flatnonzero(sites.isin(["SCANNER02", "SCANNER03", "SCANNER04"]))
    some = np.concatenate([some, np.flatnonzero(sites == "SCANNER05")[:3]])
    with pytest.warns(ExtrapolationWarning, match="only 4 training scanners"):
        model = UnseenScanner("age").fit(
            measures.iloc[some],
            quality=rest["quality"],
            sites=sites.iloc[some],
            covariates=rest["covariates"],
        )
    assert model.scanners_.loc["SCANNER05", "scans"] == 3


def test_metrics_of_another_definition_and_missing_metrics_are_refused() -> None:
    measures, rest = parts(known=False)
    train, known = parts(known=True)
    quality = known["quality"].copy()
    quality.attrs["definition"] = "mriqc-24"
    model = UnseenScanner("age").fit(
        train, quality=quality, sites=known["covariates"].site, covariates=known["covariates"]
    )
    other = rest["quality"].copy()
    other.attrs["definition"] = "mriqc-0.15"
    with pytest.raises(FeatureMismatchError, match=r"mriqc-0\.15"):
        model.transform(measures, quality=other, covariates=rest["covariates"])
    with pytest.raises(MissingColumnError, match="'cnr'"):
        fitted().transform(
            measures, quality=rest["quality"].drop(columns="cnr"), covariates=rest["covariates"]
        )
    with pytest.raises(DataError, match="trained with image quality"):
        fitted().transform(measures, covariates=rest["covariates"])


def test_a_failed_metric_is_named_and_counts_as_usual() -> None:
    measures, rest = parts(known=False)
    quality = rest["quality"].copy()
    quality.loc["sub-0004", "fber"] = -1.0
    with pytest.warns(MissingValuesWarning, match="1 scan .'sub-0004'. in 1 metric .'fber'."):
        after = fitted().transform(measures, quality=quality, covariates=rest["covariates"])
    assert np.isfinite(after.to_numpy()).all()


def test_unknown_sex_codes_are_refused() -> None:
    measures, rest = parts(known=False)
    people = rest["covariates"].replace({"sex": {"F": "female"}})
    with pytest.raises(UnseenLevelError, match="female"):
        fitted().transform(measures, quality=rest["quality"], covariates=people)


def test_a_missing_measure_stays_missing_and_changes_no_other_scan() -> None:
    measures, rest = parts(known=False)
    gaps = measures.copy()
    gaps.iloc[2, 4] = np.nan
    after, whole = (fitted().transform(table, **rest) for table in (gaps, measures))
    assert np.isnan(after.iloc[2, 4]) and after.isna().to_numpy().sum() == 1
    pd.testing.assert_frame_equal(
        after.drop(index=after.index[2]), whole.drop(index=whole.index[2]), check_exact=True
    )


@pytest.mark.filterwarnings("ignore:1 of 6000 values missing")
def test_zeros_of_freesurfer_and_impossible_heads_are_named() -> None:
    train, known = parts(known=True)
    volumes = (train * 1000).assign(eTIV=np.tile(np.linspace(1.3e6, 1.7e6, 20), 15))
    model = UnseenScanner("age", total="eTIV")
    zero = volumes.copy()
    zero.iloc[5, 1] = 0.0
    sites = known["covariates"].site
    with pytest.warns(MissingValuesWarning, match="1 volume of 0 in 1 feature"):
        model.fit(zero, sites=sites, covariates=known["covariates"])
    volumes.iloc[3, -1] = 1.2
    with pytest.raises(MissingValuesError, match="intracranial volume"):
        model.fit(volumes, sites=sites, covariates=known["covariates"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"on_shift": "ignore"}, "on_shift must be one of"),
        ({"total": "eTIV", "total_strategy": "log"}, "total_strategy must be one of"),
        ({"keep": 1.5}, "keep must lie between 0 and 1"),
        ({"interval": 90}, "interval must lie between 0 and 1"),
    ],
)
def test_wrong_options_are_refused(options, match) -> None:
    measures, rest = parts(known=True)
    with pytest.raises(DataError, match=match):
        UnseenScanner("age", **options).fit(
            measures.assign(eTIV=1.5e6), sites=rest["covariates"].site, **rest
        )


def test_a_random_split_is_refused_with_the_reason() -> None:
    measures, rest = parts(known=True)
    with pytest.raises(DataError, match="only has to remember it"):
        iso.leave_one_scanner_out(
            UnseenScanner("age"), measures, sites=rest["covariates"].site, split="random", **rest
        )


def test_leaving_scanners_out_shows_all_baselines_in_order_of_what_is_known() -> None:
    scans = simulate_scanners(9, 12, 12, random_state=2)
    result = iso.leave_one_scanner_out(
        UnseenScanner("age + C(sex)"),
        scans.measures,
        quality=scans.quality,
        sites=scans.people.site,
        covariates=scans.people,
        others={"again": UnseenScanner("age + C(sex)")},
        few=(3,),
        draws=2,
    )
    table = result.table
    assert list(table.index) == [
        "nothing", "nearest scanner", "again", "no image quality", "0 scans", "3 scans",
        "known scanner",
    ]  # fmt: skip
    assert table.error_ratio["nothing"] == 1.0 and table.error_ratio["known scanner"] == 0.0
    assert table.error_ratio["3 scans"] < table.error_ratio["0 scans"] < 1.0
    np.testing.assert_allclose(table.error_ratio["again"], table.error_ratio["0 scans"])


def test_other_regressions_learn_too_but_are_not_kept_in_files(tmp_path) -> None:
    measures, rest = parts(known=False)
    alone = measures.iloc[[4]]
    for estimator in ("kernel-ridge", "neighbors", LinearRegression()):
        model = fit(UnseenScanner("age + C(sex)", estimator=estimator))
        after = model.transform(measures, **rest)
        pd.testing.assert_frame_equal(
            model.transform(alone, **rest), after.iloc[[4]], check_exact=True
        )
        with pytest.raises(DataError, match="cannot be kept in a file"):
            model.save(tmp_path / "model.isoscan")
    with pytest.raises(DataError, match="estimator must be one of"):
        fit(UnseenScanner("age + C(sex)", estimator="boosting"))


def test_single_precision_comes_back_in_single_precision() -> None:
    measures, rest = parts(known=False)
    after = fitted().transform(measures.astype(np.float32), **rest)
    assert (after.dtypes == np.float32).all()
    np.testing.assert_allclose(after, fitted().transform(measures, **rest), rtol=1e-5)
