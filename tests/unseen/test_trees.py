"""Forests as arrays decide like scikit-learn, and refuse what could not be evaluated."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from isoscan.errors import DataError, ModelFileError
from isoscan.unseen.trees import Forests, flatten_forests


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(120, 6)).astype(np.float32)
    return scores, scores[:, 0] ** 2 + rng.normal(size=120) * 0.1


@pytest.fixture(scope="module")
def forests(data):
    scores, target = data
    fitted = [RandomForestRegressor(12, random_state=k).fit(scores, target + k) for k in range(2)]
    return flatten_forests(fitted, [1.0, 1.0])


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(30, random_state=0),
        RandomForestRegressor(7, max_depth=3, min_samples_leaf=4, random_state=1),
        ExtraTreesRegressor(20, random_state=2),
    ],
)
def test_predictions_have_the_bits_of_scikit_learn(data, forest):
    scores, target = data
    forest.fit(scores, target)
    flat = flatten_forests([forest], [1.0])
    new = np.random.default_rng(5).normal(size=(400, 6)) * 1.5
    assert np.array_equal(flat.predict(0, new), forest.predict(new))


def test_thresholds_between_two_single_numbers_decide_alike():
    """Half-way thresholds cannot be kept in single precision; rounding down does no harm."""
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    scores = np.array([[low], [high]] * 5)
    forest = RandomForestRegressor(5, random_state=0).fit(scores, np.arange(10) % 2)
    flat = flatten_forests([forest], [1.0])
    assert np.array_equal(flat.predict(0, scores), forest.predict(scores))


def test_each_feature_has_its_own_trees_and_scale(data):
    scores, target = data
    fitted = [RandomForestRegressor(4, random_state=k).fit(scores, target + k) for k in range(3)]
    flat = flatten_forests(fitted, [1.0, 2.0, 0.5])
    assert (flat.n_forests, flat.n_per_forest) == (3, 4)
    assert np.allclose(flat.predict(1, scores), 2 * fitted[1].predict(scores), rtol=1e-15)


def test_a_tree_of_one_leaf_predicts_it():
    forest = RandomForestRegressor(3, random_state=0).fit(np.zeros((5, 2)), np.full(5, 7.0))
    assert flatten_forests([forest], [1.0]).predict(0, np.zeros((2, 2))).tolist() == [7.0, 7.0]


def test_arrays_bring_back_the_same_forests(data, forests):
    back = Forests.from_arrays(forests.to_arrays(), 12, 6)
    assert np.array_equal(back.predict(1, data[0]), forests.predict(1, data[0]))


@pytest.mark.parametrize("estimator", [Ridge(), GradientBoostingRegressor(n_estimators=2)])
def test_other_estimators_are_refused(data, estimator):
    with pytest.raises(DataError, match="forest of regression trees"):
        flatten_forests([estimator.fit(*data)], [1.0])


def test_trees_that_grow_best_first_are_refused(data):
    forest = RandomForestRegressor(5, max_leaf_nodes=9, random_state=0).fit(*data)
    with pytest.raises(DataError, match="max_leaf_nodes=None"):
        flatten_forests([forest], [1.0])


def spoil(name, change):
    def spoiled(arrays):
        array = arrays[f"trees.{name}"].copy()
        return arrays | {f"trees.{name}": change(array)}

    return spoiled


def put(position, value):
    def change(array):
        array[position] = value
        return array

    return change


@pytest.mark.parametrize(
    "damage",
    [
        spoil("link", put(0, 0)),
        spoil("link", put(0, -5)),
        spoil("link", put(0, 10**6)),
        spoil("link", put(-1, 10**6)),
        spoil("variable", put(0, 6)),
        spoil("variable", put(0, -2)),
        spoil("variable", put(-1, 0)),
        spoil("value", put(3, np.inf)),
        spoil("split", put(0, np.nan)),
        spoil("value", lambda array: array[:-1]),
        spoil("split", lambda array: array[:-1]),
        spoil("first_node", put(2, 0)),
        spoil("first_node", lambda array: array[:-1]),
        spoil("first_leaf", put(0, 1)),
        spoil("first_node", lambda array: array[:1]),
    ],
)
def test_paths_that_leave_their_tree_are_refused(forests, damage):
    with pytest.raises(ModelFileError, match="trees"):
        Forests.from_arrays(damage(forests.to_arrays()), 12, 6)


def test_a_number_of_trees_that_does_not_divide_is_refused(forests):
    for number in (0, 7):
        with pytest.raises(ModelFileError):
            Forests.from_arrays(forests.to_arrays(), number, 6)
