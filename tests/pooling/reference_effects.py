"""Reference numbers of metafor 5.1, and how near ours must come."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from known_truth import shared_folder

METHODS = {"EE": "fe", "EB": "pm"}
TESTS = {"adhoc": "knha-bounded"}


def reference(name: str) -> dict[str, Any]:
    found = json.loads((shared_folder("golden/pooling") / name).read_text())
    return {key: value for key, value in found.items() if key != "_meta"}


def method_of(fit: dict[str, Any]) -> str:
    return METHODS.get(fit["method"], fit["method"].lower())


def our_test(fit: dict[str, Any]) -> str:
    return TESTS.get(fit["test"], fit["test"])


def assert_near(mine: object, theirs: object, tolerance: float) -> None:
    ours, reference = np.asarray(mine, float), np.asarray(theirs, float)
    np.testing.assert_allclose(ours, reference, rtol=tolerance, atol=tolerance * 1e-6)
