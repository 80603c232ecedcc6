"""Which column names hold ids, sessions or labels, whatever their spelling.

Names are compared without case, spaces and punctuation: ``Subject ID``,
``subject_id`` and ``SubjectID`` are one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PARTICIPANT_NAMES = frozenset(
    "participantid participant subjid subjectid subid subject id ptid srcsubjectid fileid".split()
)
SCAN_NAMES = frozenset("bidsname scanid scan imageid".split())
SESSION_NAMES = frozenset("session sessionid ses".split())
RUN_NAMES = frozenset("run runid".split())
SITE_NAMES = frozenset(
    "site siteid sitename scanner scannerid batch batchid center centre centerid centreid hospital "
    "institution institutionname manufacturer manufacturersmodelname deviceserialnumber "
    "stationname softwareversions".split()
)
LABEL_NAMES = PARTICIPANT_NAMES | SCAN_NAMES | SESSION_NAMES | RUN_NAMES | SITE_NAMES


def is_label_name(name: str) -> bool:
    """Tell whether a column of this name holds ids, sessions, sites or scanners.

    Parameters
    ----------
    name : str
        Column name.

    Returns
    -------
    bool
        True if the column is text even when every value is a number.

    Examples
    --------
    >>> is_label_name("Site_ID"), is_label_name("SubjID"), is_label_name("age")
    (True, True, False)
    """
    return _plain(name) in LABEL_NAMES


def is_person_name(name: str) -> bool:
    """Tell whether a column of this name says who was scanned.

    Parameters
    ----------
    name : str
        Column name.

    Returns
    -------
    bool
        True for participant_id, SubjID, subject and the like.

    Examples
    --------
    >>> is_person_name("Subject ID"), is_person_name("scan_id")
    (True, False)
    """
    return _plain(name) in PARTICIPANT_NAMES


def is_scan_name(name: str) -> bool:
    """Tell whether a column of this name says which scan a row is.

    Parameters
    ----------
    name : str
        Column name.

    Returns
    -------
    bool
        True for scan, scan_id, bids_name and image_id.

    Examples
    --------
    >>> is_scan_name("scan"), is_scan_name("participant_id")
    (True, False)
    """
    return _plain(name) in SCAN_NAMES


def find_column(columns: Iterable[str], names: frozenset[str]) -> str | None:
    """Find the first column that carries one of these names.

    Parameters
    ----------
    columns : iterable of str
        Columns of a table.
    names : frozenset of str
        Names in lower case without punctuation.

    Returns
    -------
    str or None
        The column as it is spelled in the table.

    Examples
    --------
    >>> find_column(["age", "Subject_ID"], PARTICIPANT_NAMES)
    'Subject_ID'
    """
    return next((column for column in columns if _plain(column) in names), None)


def site_columns(columns: Iterable[str]) -> list[str]:
    """List the columns whose names say that they hold sites or scanners.

    Parameters
    ----------
    columns : iterable of str
        Columns of a table.

    Returns
    -------
    list of str
        Names as they are spelled in the table.

    Examples
    --------
    >>> site_columns(["age", "Scanner", "Site ID"])
    ['Scanner', 'Site ID']
    """
    return [str(column) for column in columns if _plain(column) in SITE_NAMES]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
