"""Read and write tables of measures and of people, matched by id, never by order."""

from isoscan.tables.align import align_rows, require_unique
from isoscan.tables.bids import read_participants, read_sidecar
from isoscan.tables.enigma import EnigmaTables, enigma_summaries, read_enigma
from isoscan.tables.freesurfer import freesurfer_totals, read_freesurfer
from isoscan.tables.join import join_tables
from isoscan.tables.measures import read_measures, summary_columns
from isoscan.tables.mriqc import read_mriqc
from isoscan.tables.numbers import require_numbers
from isoscan.tables.read import read_table
from isoscan.tables.write import write_atomically, write_json, write_table, write_text

__all__ = [
    "EnigmaTables",
    "align_rows",
    "enigma_summaries",
    "freesurfer_totals",
    "join_tables",
    "read_enigma",
    "read_freesurfer",
    "read_measures",
    "read_mriqc",
    "read_participants",
    "read_sidecar",
    "read_table",
    "require_numbers",
    "require_unique",
    "summary_columns",
    "write_atomically",
    "write_json",
    "write_table",
    "write_text",
]
