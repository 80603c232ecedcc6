"""All comparisons, in the order of the page."""

from __future__ import annotations

import covbat
import longitudinal
import mega
import meta
import nonparametric
import splines
import table

COMPARISONS = {
    "table": table.COMPARISON,
    "splines": splines.COMPARISON,
    "longitudinal": longitudinal.COMPARISON,
    "nonparametric": nonparametric.COMPARISON,
    "covbat": covbat.COMPARISON,
    "meta": meta.COMPARISON,
    "mega": mega.COMPARISON,
}
