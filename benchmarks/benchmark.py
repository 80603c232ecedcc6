"""Measure the parts that the command line names, and write the page.

    python benchmarks/run.py [PART ...] [--quick] [--rounds N] [--page]

What was measured is kept in `benchmarks/results`, one file per part, so that a part can be
measured again alone. `--quick` writes no file and prints the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from comparisons import COMPARISONS
from growth import FIGURE, draw_growth, run_growth
from page import Facts, write_page
from side_by_side import run_comparison
from volumes import run_volumes

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
PARTS = (*COMPARISONS, "volumes", "growth")


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    parts: list[str]
    quick: bool
    rounds: int
    page: bool


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; or all")
    parser.add_argument("--quick", action="store_true", help="small tables: a smoke test")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each package (1)")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    options = Options(**vars(parser.parse_args(arguments)))
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def run_part(part: str, options: Options) -> Facts:
    """Measure one part."""
    if part == "volumes":
        return run_volumes(quick=options.quick, rounds=options.rounds)
    if part == "growth":
        return run_growth(quick=options.quick)
    return run_comparison(part, quick=options.quick, rounds=options.rounds)


def read_results() -> dict[str, Facts]:
    """Read what was measured last."""
    return {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}


def write_results(results: dict[str, Facts]) -> None:
    """Keep what was measured; draw the figure and write the page from all there is."""
    RESULTS.mkdir(exist_ok=True)
    for part, facts in results.items():
        (RESULTS / f"{part}.json").write_text(json.dumps(facts, indent=1) + "\n")
    together = read_results()
    if "growth" in together:
        draw_growth(together["growth"], HERE.parent / FIGURE)
    PAGE.write_text(write_page(together), encoding="utf-8")


def main() -> int:
    """Measure, then write or show the page."""
    options = parse()
    parts = [] if options.page else [part for part in PARTS if part in (options.parts or PARTS)]
    results = {}
    for part in parts:
        results[part] = run_part(part, options)
        if not options.quick:
            write_results({part: results[part]})
    if options.quick:
        print(write_page(results))
    elif options.page:
        write_results({})
    return 0


if __name__ == "__main__":
    sys.exit(main())
