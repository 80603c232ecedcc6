"""How few people a message may be about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from isoscan.errors import MessageFileError


@dataclass(frozen=True)
class Thresholds:
    """Limits below which a message is not written.

    Attributes
    ----------
    people : int
        Fewest people behind any mean.
    cell : int
        Fewest people of a level of a category, or of a pair of levels; none at all is allowed.
    share : float
        Most design columns, the intercept among them, per person.
    degrees : int
        Fewest people beyond the number of design columns and the intercept.
    difference : int
        Fewest people by which two releases, or two measures of one release, may differ.

    Examples
    --------
    >>> Thresholds().weaker_than(Thresholds(people=20))
    ['people 10 (20)']
    """

    people: int = 10
    cell: int = 5
    share: float = 0.33
    degrees: int = 10
    difference: int = 5

    @classmethod
    def none(cls) -> Thresholds:
        """No limits at all: for summaries that stay where the data are.

        Returns
        -------
        Thresholds
            Whatever the number of people, it is enough.
        """
        return cls(people=1, cell=0, share=1e6, degrees=-(10**6), difference=0)

    def weaker_than(self, other: Thresholds) -> list[str]:
        """Say where these limits allow more than others.

        Parameters
        ----------
        other : Thresholds
            The limits to compare with.

        Returns
        -------
        list of str
            Name and value of each, with that of the other in brackets.
        """
        pairs = [(item.name, getattr(self, item.name), getattr(other, item.name)) for item in _ALL]
        return [
            f"{name} {mine:g} ({their:g})"
            for name, mine, their in pairs
            if (mine > their if name == "share" else mine < their)
        ]

    def to_json(self) -> dict[str, Any]:
        """Describe the limits in plain types."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Thresholds:
        """Read back what `to_json` wrote.

        Parameters
        ----------
        facts : mapping
            Numbers by name.

        Returns
        -------
        Thresholds
            The same limits.

        Raises
        ------
        MessageFileError
            If a limit is missing or not a number.
        """
        if set(facts) != {item.name for item in _ALL}:
            raise MessageFileError(
                f"a study has the thresholds {', '.join(item.name for item in _ALL)}; this one "
                f"has {', '.join(sorted(map(str, facts))) or 'none'}."
            )
        for name, value in facts.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not abs(value) < 1e9:
                raise MessageFileError(f"the threshold '{name}' is {value!r}, not a number.")
        return cls(**facts)


_ALL = fields(Thresholds)
