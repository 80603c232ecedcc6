"""What a site has told already: two releases that differ by few people tell about those few.

The ledger stays at the site. It holds no name: people are hashed with a secret that lies beside
it and is worth keeping.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from isoscan.errors import DataError, DisclosureError, count
from isoscan.tables.write import write_atomically, write_json


class Ledger:
    """Sets of people that a site has released sums about.

    Parameters
    ----------
    folder : str or Path
        Where ``ledger.json`` and its secret lie; made when needed.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> ledger = Ledger(mkdtemp())
    >>> everybody = [f"sub-{number:02d}" for number in range(20)]
    >>> ledger.record([everybody], study="demo")
    >>> ledger.require_distant([everybody[1:]], least=5)
    Traceback (most recent call last):
    isoscan.errors.DisclosureError: nothing was written: it would differ by 1 person from ...
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def require_distant(self, groups: Sequence[Iterable[object]], *, least: int) -> None:
        """Refuse a release that differs by few people from earlier ones.

        Parameters
        ----------
        groups : sequence of iterables
            People of each group of the release.
        least : int
            Fewest people by which it may differ, if it differs at all.

        Raises
        ------
        DisclosureError
            Saying from which release, and by how many.
        """
        new = self._hashed(groups)
        new.append(frozenset().union(*new))
        for old, said in self._released():
            for group in new:
                number = len(group ^ old)
                if 0 < number < least:
                    raise DisclosureError(
                        f"nothing was written: it would differ by "
                        f"{count(number, 'person', 'people')} from {said}, and the difference of "
                        f"both would tell about them alone. Send the same people again, or wait "
                        f"for at least {least} more.",
                        people=number,
                    )

    def require_few_columns(
        self, groups: Sequence[Iterable[object]], columns: Iterable[str], *, share: float
    ) -> None:
        """Refuse a release that, with earlier ones of the same people, tells too much of them.

        Every design column adds one sum per measure. Several studies with few columns each could
        together be solved for every person, like one study with many.

        Parameters
        ----------
        groups : sequence of iterables
            People of each group of the release.
        columns : iterable of str
            Its design columns.
        share : float
            Most columns, the intercept among them, per person.

        Raises
        ------
        DisclosureError
            Saying how many columns were released about how many people.
        """
        for group in self._hashed(groups):
            told = set(columns)
            for entry in self._entries():
                if any(group & set(old) for old in entry["groups"]):
                    told |= set(entry.get("columns", ()))
            if told > set(columns) and (len(told) + 1) / len(group) > share:
                raise DisclosureError(
                    f"nothing was written: with earlier releases, sums over "
                    f"{count(len(told), 'design column')} would be known about "
                    f"{count(len(group), 'person', 'people')}, more than {share:g} per person. "
                    f"Wait for more people, or leave out covariates.",
                    people=len(group),
                )

    def record(
        self, groups: Sequence[Iterable[object]], *, study: str, columns: Iterable[str] = ()
    ) -> None:
        """Remember a release.

        Parameters
        ----------
        groups : sequence of iterables
            People of each group.
        study : str
            Name of the study.
        columns : iterable of str
            Its design columns.
        """
        entry = {
            "study": study,
            "date": datetime.now(UTC).date().isoformat(),
            "columns": sorted(columns),
            "groups": [sorted(group) for group in self._hashed(groups)],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        releases = [*self._entries(), entry]
        write_json(self.folder / "ledger.json", {"releases": releases}, overwrite=True)

    def _entries(self) -> list[dict[str, Any]]:
        path = self.folder / "ledger.json"
        if not path.is_file():
            return []
        try:
            return list(json.loads(path.read_bytes())["releases"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"the ledger {path} cannot be read. Restore it from a backup: without it nobody "
                f"knows what was released."
            ) from None

    def _released(self) -> list[tuple[frozenset[str], str]]:
        """Every group that can be worked out from earlier releases by adding them up."""
        entries = self._entries()
        wholes = [frozenset().union(*map(frozenset, entry["groups"])) for entry in entries]
        said = [f"what was released for '{e['study']}' on {e['date']}" for e in entries]
        known = [
            (frozenset(group), words)
            for entry, words in zip(entries, said, strict=True)
            for group in entry["groups"]
        ]
        known += zip(wholes, said, strict=True)
        known += [
            (first | second, "two earlier releases together")
            for first, second in combinations(wholes, 2)
        ]
        known.append((frozenset().union(*wholes), "all earlier releases together"))
        return known

    def _hashed(self, groups: Sequence[Iterable[object]]) -> list[frozenset[str]]:
        secret = self._secret()
        return [
            frozenset(
                hmac.new(secret, str(name).encode(), hashlib.sha256).hexdigest()[:24]
                for name in group
            )
            for group in groups
        ]

    def _secret(self) -> bytes:
        path = self.folder / "secret"
        if not path.is_file():
            if self._entries():
                raise DataError(
                    f"the secret of the ledger is gone ({path}). Restore it from a backup: "
                    f"without it nobody knows what was released."
                )
            write_atomically(path, secrets.token_bytes(32))
            path.chmod(0o600)
        return path.read_bytes()
