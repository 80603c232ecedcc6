"""What the guide shows does what it says."""

import re
import secrets
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from federated_cohort import make_consortium

from isoscan.federated import Sums, combine

GUIDE = Path(__file__).parents[2] / "docs" / "federated.md"


def code_with(word: str) -> str:
    if not GUIDE.is_file():
        pytest.skip("the guide is not here")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if word in block)


@pytest.mark.parametrize("missing", ["drop", "pattern"])
def test_masked_totals_give_the_same_coefficients(missing) -> None:
    shown: dict = {}
    exec(code_with("def masked"), shown)
    people = make_consortium()
    people.measures["region2"] += 1e7
    study = people.study(missing=missing)
    messages = people.messages(study, mode="sums")
    places = [message.sender.location for message in messages]
    keys = {pair: secrets.token_bytes(32) for pair in combinations(sorted(places), 2)}
    hidden = []
    for place, message in zip(places, messages, strict=True):
        own = {other: keys[*sorted((place, other))] for other in places if other != place}
        hidden.append(shown["masked"](message, place, own))
    first = messages[0].arrays
    seen = np.array([number / 2**200 for number in hidden[0]["feature_squares"]])
    assert not np.isclose(seen, first["feature_squares"]).any()
    total = shown["unmasked"](hidden, study, messages[0].sender)
    assert isinstance(total, Sums)
    one, other = combine(study, [total]), combine(study, messages)
    np.testing.assert_allclose(one.slopes, other.slopes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-12)
    np.testing.assert_allclose(one.sd, other.sd, rtol=1e-12)
