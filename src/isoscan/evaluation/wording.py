"""What a finding is."""

from __future__ import annotations

LEVELS = ("problem", "warning", "good", "note")
"""What must be settled, what to look at, what went well, what to know."""

Finding = dict[str, str]
"""Keys level, code and sentence."""


def say(level: str, code: str, sentence: str) -> Finding:
    """Put a finding together.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    code : str
        Name for programs.
    sentence : str
        Sentence for readers.

    Returns
    -------
    dict of {str: str}
        The finding.

    Examples
    --------
    >>> say("good", "rank-order", "The order is kept.")["code"]
    'rank-order'
    """
    return {"level": level, "code": code, "sentence": sentence}
