"""Cut sentences to what fits in a box: what and how many, not the list of names."""

from __future__ import annotations

import re

LONGEST = 150
_NAMED = r"'[^']*'(?: \([^()]*\))?"
_LIST = re.compile(rf": {_NAMED}(?:, {_NAMED})+(?: and \d+ more)?")
_ASIDE = re.compile(r" \([^()]{20,}\)")
_ONE_WORD = re.compile(r"(?<=[.?!]) \w+\.(?= |$)")  # the heading of a list that is gone
_SENTENCE = re.compile(r"(?<=[.?!]) (?=[A-Z0-9'])")


def in_brief(sentence: str, longest: int = LONGEST) -> str:
    """Shorten a finding; short ones stay as they are.

    Lists of names go first, then all sentences that do not fit, then long asides in
    brackets, then clauses, and only then words.

    Parameters
    ----------
    sentence : str
        A finding in full.
    longest : int
        Number of characters that fit.

    Returns
    -------
    str
        At most `longest` characters.

    Examples
    --------
    >>> in_brief("2 sites are small: 'KCL' (3), 'OSL' (4). Merge them.", 40)
    '2 sites are small. Merge them.'
    """
    if len(sentence) <= longest:
        return sentence
    listless = _ONE_WORD.sub("", _LIST.sub("", sentence))
    first = _SENTENCE.split(listless)[0]
    short = _whole_sentences(
        listless if len(first) <= longest else _ASIDE.sub("", listless), longest
    )
    return short if len(short) <= longest else _clauses(short, longest)


def _whole_sentences(text: str, longest: int) -> str:
    first, *others = _SENTENCE.split(text)
    for sentence in others:
        if len(first) + 1 + len(sentence) > longest:
            break
        first += f" {sentence}"
    return first


def _clauses(text: str, longest: int) -> str:
    """Cut at the last semicolon or comma that leaves a good part; else between words."""
    for sign in ("; ", ", "):
        head = text[: longest - 1].rpartition(sign)[0]
        if len(head) > longest // 3:
            return f"{head}."
    return f"{text[: longest - 1].rpartition(' ')[0] or text[: longest - 1]}…"
