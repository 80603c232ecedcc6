"""Words in the name of a column that tell people, clinics and settings from brains.

A name is read word by word: ``disease_duration``, ``AgeAtScan`` and ``APOE4`` say what they
are, ``lh_temporalpole_thickness`` and ``brain_age`` are about brains.
"""

from __future__ import annotations

import re

from isoscan.tables.mriqc import METRIC
from isoscan.tables.names import is_label_name

PEOPLE = frozenset(
    "age sex gender diagnosis dx sdx group handedness education iq fiq session run scan "
    "participant_id subject_id subjid subject visit wave timepoint time scanner".split()
)
"""Whole names that everybody reads as people's; nobody need be told that they are no measures."""
SETTINGS = ("rater_", "size_", "spacing_")
"""Beginnings of MRIQC's columns that are opinions, or how the image was taken."""
WORDS = frozenset(
    # people
    "age ages agesq birth dob sex gender male female race bmi height weight bsa hand ehi edu educ "
    "ses income marital parity gestation "
    # time
    "date day days week weeks month months year years yrs yob time times timepoint visit "
    "visits wave session run scan followup interval duration onset "
    # clinic
    "dx sdx group arm dose doses treatment drug disease illness episodes stage severity score "
    "scores subscore subscale scale rating symptom symptoms questionnaire item pack units "
    # tests and scales
    "iq fiq fsiq viq piq cdr gds faq mmse moca apoe bdi bai hamd hdrs hama ymrs caps scid "
    "bprs sans saps gaf ados adir srs edss nihss tmt wais wisc wasi ravlt cvlt dsst adl iadl "
    "psqi audit ctq phq gad stai "
    # what ENIGMA calls them
    "ao durill ahba "
    # counting and naming
    "nr no num number index idx id ids row serial order code rank "
    # how the image was taken
    "tesla strength echo flip dwell".split()
)
"""Words that stand in the names of columns about people."""
STEMS = tuple(
    "mmse moca apoe updrs panss madrs adas diagnos medicat educat handed ethnic alcohol smok "
    "subj particip patient cogniti phenotyp clinic".split()
)
"""Beginnings of such words."""
BRAIN = frozenset(
    "lh rh left right hemi thickness thick thickavg surfavg surfarea volume vol cortex cortical "
    "gyrus gyral gyrification sulcus sulcal ventricle ventricles tract".split()
)
"""Words that make a name that of a measure, whatever else it says."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OF_BRAIN = re.compile(r"brain[^a-z]*(age|weight|height|index)", re.IGNORECASE)


def named_like_measure(name: str) -> bool:
    """Tell whether the name itself says that a column holds a measure of the brain.

    Parameters
    ----------
    name : str
        Name of a column.

    Returns
    -------
    bool
        True for metrics of MRIQC, and names with a hemisphere or a kind of measure.

    Examples
    --------
    >>> named_like_measure("lh_insula_volume"), named_like_measure("cjv")
    (True, True)
    >>> named_like_measure("age_at_onset"), named_like_measure("CSF")
    (False, False)
    """
    return METRIC.match(name) is not None or not BRAIN.isdisjoint(_words(name))


def word_for_people(name: str) -> str | None:
    """Find the word in a name that says that the column is about people or the clinic.

    Parameters
    ----------
    name : str
        Name of a column.

    Returns
    -------
    str or None
        The word in lower case; None if no word says so.

    Examples
    --------
    >>> [word_for_people(name) for name in ("APOE4", "disease_duration", "AgeAtScan", "MMSEscore")]
    ['apoe', 'disease', 'age', 'mmsescore']
    >>> [word_for_people(name) for name in ("brain_age", "hippocampus_volume_time2", "Cingulum")]
    [None, None, None]
    """
    if name.lower() in PEOPLE or is_label_name(name):
        return name.lower()
    if named_like_measure(name):
        return None
    for word in _words(_OF_BRAIN.sub("", name)):
        if word in WORDS or word.startswith(STEMS):
            return word
    return None


def _words(name: str) -> list[str]:
    """Words of a name in lower case: split at signs and digits, and where case changes."""
    parts = re.findall(r"[^\W\d_]+", name)
    split = (word.lower() for part in parts for word in _WORD.findall(part))
    return list(dict.fromkeys([*(part.lower() for part in parts), *split]))
