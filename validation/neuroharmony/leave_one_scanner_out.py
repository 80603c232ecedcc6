"""Train the recipe without a scanner, correct its scans, compare with a ComBat that knows it.

    python leave_one_scanner_out.py results.json [n_jobs] [components]

ComBat keeps age and sex. Its own correction of the scanner left out, with everything else
frozen, is what the recipe should have predicted.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from abide import Cohort, read_cohort

import isoscan as iso
from isoscan import ComBat
from isoscan.evaluation.ks_grid import ks_against
from isoscan.unseen.inputs import match_quality

PRESERVE = "age + C(sex)"


def main(path: Path, n_jobs: int, components: float | None) -> None:
    warnings.simplefilter("ignore", iso.errors.IsoscanWarning)
    cohort = read_cohort()
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for site in sorted(cohort.people.site.unique()):
        if site not in done:
            done[site] = leave_out(cohort, site, n_jobs, components)
            path.write_text(json.dumps(done, indent=1))
            print(site, {key: round(value, 3) for key, value in done[site].items()}, flush=True)
    print(pd.DataFrame(done).T.mean().round(3))


def leave_out(cohort: Cohort, site: str, n_jobs: int, components: float | None) -> dict[str, float]:
    """One scanner: numbers before and after the correction."""
    new = (cohort.people.site == site).to_numpy()
    known, unknown = cohort.volumes[~new], cohort.volumes[new]
    people, strangers = cohort.people[~new], cohort.people[new]
    combat = ComBat(PRESERVE).fit(known, sites=people.site, covariates=people)
    adapted = combat.adapt(unknown, sites=strangers.site, covariates=strangers)
    oracle = adapted.transform(unknown, sites=strangers.site, covariates=strangers) - unknown
    start = time.perf_counter()
    model = iso.Neuroharmony(
        [("site", ComBat(PRESERVE))], components=components, n_jobs=n_jobs, random_state=0
    ).fit(known, quality=cohort.quality, sites=people.site, covariates=people)
    seconds = time.perf_counter() - start
    after = model.transform(unknown, quality=cohort.quality, covariates=strangers)
    reference = combat.transform(known, sites=people.site, covariates=people)
    return {
        "scans": float(new.sum()),
        "fit_seconds": seconds,
        "components": float(model.n_components_),
        "out_of_range": float(len(outside(model, cohort, unknown.index))),
        **{f"before_{k}": v for k, v in score(unknown, unknown, oracle, reference).items()},
        **{f"after_{k}": v for k, v in score(after, unknown, oracle, reference).items()},
    }


def outside(model: Any, cohort: Cohort, scans: pd.Index) -> dict[str, list[str]]:
    inputs = model.encoder_.encode(match_quality(cohort.quality, scans), cohort.people)
    return model.ranges_.outside(inputs)


def score(
    after: pd.DataFrame, raw: pd.DataFrame, oracle: pd.DataFrame, reference: pd.DataFrame
) -> dict[str, float]:
    """How near the oracle, how near the training sample, what is left of individuals."""
    spread = reference.std()
    wanted, given = oracle / spread, (after - raw) / spread
    together = [np.corrcoef(after[name], raw[name])[0, 1] for name in raw]
    return {
        "ks_passed": float((ks_against(after, reference) > 0.001).mean()),
        "mae": float((wanted - given).abs().to_numpy().mean()),
        "mae_of_nothing": float(wanted.abs().to_numpy().mean()),
        "r2": 1 - float(((wanted - given) ** 2).sum(axis=None) / (wanted**2).sum(axis=None)),
        "r2_mean": 1 - float(((wanted - given).mean() ** 2).sum() / (wanted.mean() ** 2).sum()),
        "within_correlation": float(np.mean(together)),
        "sd_kept": float((after.std() / raw.std()).mean()),
    }


if __name__ == "__main__":
    share = sys.argv[3] if len(sys.argv) > 3 else "20"
    number = None if share == "none" else float(share) if "." in share else int(share)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, number)
