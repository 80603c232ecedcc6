"""Arrays as JSON has them: what is not finite becomes None."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_numbers(values: NDArray[np.float64]) -> list[Any]:
    """Turn an array into nested lists, and what is not finite into None.

    Parameters
    ----------
    values : ndarray
        Numbers.

    Returns
    -------
    list
        Nested like the array.

    Examples
    --------
    >>> as_numbers(np.array([[1.0, np.nan]]))
    [[1.0, None]]
    """
    numbers = values.astype(object)
    numbers[~np.isfinite(values)] = None
    plain: list[Any] = numbers.tolist()
    return plain
