"""Harmonize without pooling: sites send sums over many people, never a row of data.

Two functions carry everything: `summarize` at each site, `combine` at the centre. The model is
the one that the pooled data would give.
"""

from isoscan.federated.at_centre import combine, read_all
from isoscan.federated.at_site import prepare, summarize
from isoscan.federated.exchange import Exchange, agreed_covariates, simulate
from isoscan.federated.from_model import study_of
from isoscan.federated.ledger import Ledger
from isoscan.federated.merging import merge
from isoscan.federated.messages import Summary
from isoscan.federated.quality import quality_table
from isoscan.federated.release import Release
from isoscan.federated.study import Study, read_study
from isoscan.federated.sums import Coefficients, finish, read_coefficients
from isoscan.federated.thresholds import Thresholds
from isoscan.federated.totals import Sums, add_up
from isoscan.federated.update import merge_models, update
from isoscan.federated.validation import read_message

__all__ = [
    "Coefficients",
    "Exchange",
    "Ledger",
    "Release",
    "Study",
    "Summary",
    "Sums",
    "Thresholds",
    "add_up",
    "agreed_covariates",
    "combine",
    "finish",
    "merge",
    "merge_models",
    "prepare",
    "quality_table",
    "read_all",
    "read_coefficients",
    "read_message",
    "read_study",
    "simulate",
    "study_of",
    "summarize",
    "update",
]
