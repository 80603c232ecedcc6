"""Put one finding into words: a level, a code, a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Finding = dict[str, str]


def say(level: str, code: str, sentence: str) -> Finding:
    """Make one finding.

    Parameters
    ----------
    level : str
        "problem", "warning", "note" or "good".
    code : str
        Stable name of what was found.
    sentence : str
        What, where, how many, what to do.

    Returns
    -------
    dict
        level, code and sentence.
    """
    return {"level": level, "code": code, "sentence": sentence}


def with_detail(items: Iterable[tuple[str, object]], limit: int = 5) -> str:
    """Quote the first few names, each with something in brackets, and count the rest.

    Parameters
    ----------
    items : iterable of (str, object)
        Names and details.
    limit : int
        How many to spell out.

    Returns
    -------
    str
        Names and details, separated by commas.

    Examples
    --------
    >>> with_detail([("KCL", 3), ("OSL", 4)])
    "'KCL' (3), 'OSL' (4)"
    """
    texts = [f"'{name}' ({detail})" for name, detail in items]
    rest = len(texts) - limit
    return ", ".join(texts) if rest <= 1 else f"{', '.join(texts[:limit])} and {rest} more"


def largest_first(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    """Sort names by their numbers, largest first, then by name.

    Parameters
    ----------
    numbers : mapping of {str: int}
        Numbers by name.

    Returns
    -------
    list of (str, int)
        Sorted pairs.
    """
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))


def as_sentence(text: str) -> str:
    """Begin with a capital.

    Parameters
    ----------
    text : str
        Message of an error, which begins in lower case.

    Returns
    -------
    str
        The same, as a sentence.
    """
    return text[:1].upper() + text[1:]
