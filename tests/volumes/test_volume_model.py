"""A fitted model of maps: saved, applied to new maps, taught new sites."""

import numpy as np
import pytest
from many_sites import inside, make_study

import isoscan as iso
from isoscan.volumes import stream


def test_saved_model_harmonizes_new_maps_as_the_model_in_memory_does(study, tmp_path):
    _, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, preserve="age")
    new = make_study(seed=5, ages=(35, 65))
    model.save(tmp_path / "model.isoscan")
    loaded = iso.VolumeModel.load(tmp_path / "model.isoscan")
    assert loaded.hash_ == model.hash_
    expected = model.transform(new.arrays, new.people)
    for one, two in zip(expected, loaded.transform(new.arrays, new.people), strict=True):
        np.testing.assert_array_equal(two, one)
    plain = iso.load(tmp_path / "model.isoscan")
    flat = plain.transform(new.table, sites=new.people.site.to_numpy(), covariates=new.people)
    np.testing.assert_allclose(inside(expected, study.mask), flat, rtol=0, atol=1e-14)
    other = np.zeros((4, 4, 4))
    with pytest.raises(iso.errors.GridMismatchError, match="shape 4×4×4"):
        loaded.transform([other], new.people.iloc[:1])
    iso.ComBat().fit(study.table, sites=study.people.site.to_numpy()).save(tmp_path / "t.isoscan")
    with pytest.raises(iso.errors.ModelFileError, match="model of a table"):
        iso.VolumeModel.load(tmp_path / "t.isoscan")


def test_new_sites_are_refused_estimated_or_copied(study):
    _, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, preserve="age")
    new = make_study({"KCL": 3, "XYZ": 12}, seed=9, ages=(35, 65))
    with pytest.raises(iso.errors.UnknownSiteError, match="XYZ"):
        model.transform(new.arrays, new.people)
    with pytest.warns(iso.errors.UnknownSiteWarning, match="left as it is") as caught:
        copied = model.transform(new.arrays, new.people, unknown_sites="skip")
    assert len(caught) == 1
    is_new = (new.people.site == "XYZ").to_numpy()
    values = inside(copied, study.mask)
    np.testing.assert_array_equal(values[is_new], new.table[is_new])
    with pytest.warns(iso.errors.UnknownSiteWarning, match="estimated"):
        estimated = model.transform(new.arrays, new.people, unknown_sites="estimate")
    table = iso.ComBat("age", unknown_sites="estimate").fit(
        study.table, sites=study.people.site.to_numpy(), covariates=study.people
    )
    with pytest.warns(iso.errors.UnknownSiteWarning):
        expected = table.transform(
            new.table, sites=new.people.site.to_numpy(), covariates=new.people
        )
    assert np.abs(inside(estimated, study.mask) - expected).max() < 1e-10


@pytest.mark.parametrize("prior", ["own", "training"])
def test_a_model_adapts_to_a_new_site_of_any_size(study, monkeypatch, prior):
    _, model = iso.harmonize_volumes(study.arrays, study.people, mask=study.mask, preserve="age")
    new = make_study({"XYZ": 40}, seed=9, ages=(35, 65))
    new.arrays["sub-007"][5, 4, 4] = np.nan
    most = []
    start_reading = stream.start_reading

    def count_maps(pool, maps, *rest):
        most.append(len(maps))
        return start_reading(pool, maps, *rest)

    monkeypatch.setattr(stream, "start_reading", count_maps)
    adapted = model.adapt(new.arrays, new.people, prior=prior)
    assert adapted.estimator.sites_ == ["KCL", "MUC", "OSL", "XYZ"]
    assert max(most) == 16 and sum(most) == 40  # never more in memory
    sites = new.people.site.to_numpy()
    table = model.estimator.adapt(new.table, sites=sites, covariates=new.people, prior=prior)
    flat = table.transform(new.table, sites=sites, covariates=new.people)
    found = adapted.transform(new.arrays, new.people)
    np.testing.assert_allclose(inside(found, study.mask), flat, rtol=0, atol=1e-12)
