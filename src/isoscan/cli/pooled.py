"""Answer one question by pooling; write tables and figures, and say what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import pandas as pd

from isoscan.cli import pool_words
from isoscan.cli.cohort import Cohort
from isoscan.cli.pool_page import Drawn, write_page
from isoscan.errors import MissingColumnError, name_some
from isoscan.harmonizing import require_free
from isoscan.pooling import (
    MetaAnalysis,
    PoolingComparison,
    SiteEffects,
    compare_pooling,
    mega_analysis,
    meta_analysis,
    plot_agreement,
    plot_effects,
    plot_forest,
    site_effects,
)
from isoscan.pooling.export import describe_effects, describe_sites_left_out
from isoscan.pooling.site_table import KINDS
from isoscan.tables import read_table, write_table
from isoscan.tables.write import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALWAYS = ("pooled.tsv", "leave_one_out.tsv", "influence.tsv", "effects.svg", "pool.html")


@dataclass(frozen=True)
class Asked:
    """One question to one cohort.

    Attributes
    ----------
    cohort : Cohort
        Measures and people.
    contrast, adjust : str
        What to test, and what to adjust for.
    groups : tuple of (str, str) or None
        Reference and compared group.
    kind : str or None
        Kind of effect; None for the default.
    min_per_group : int
        Sites with less are left out.
    p_adjust : str or None
        Adjustment of p.
    models : tuple of str
        Models over all scans.
    compare : bool
        Whether to compare strategies.
    """

    cohort: Cohort
    contrast: str
    groups: tuple[str, str] | None
    adjust: str | None
    kind: Any
    min_per_group: int
    p_adjust: Any
    models: tuple[Any, ...]
    compare: bool

    @property
    def question(self) -> dict[str, Any]:
        """Arguments that all functions of pooling take."""
        return {
            "measures": self.cohort.measures,
            "sites": self.cohort.labels,
            "covariates": self.cohort.people,
            "contrast": self.contrast,
            "groups": self.groups,
            "adjust": self.adjust,
        }

    def effects(self) -> SiteEffects:
        """Regress within sites."""
        return site_effects(**self.question, kind=self.kind, min_per_group=self.min_per_group)


@dataclass
class Results:
    """What is written into one folder, and what the page will say."""

    folder: Path
    overwrite: bool
    title: str = "Pooled effects"
    files: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)

    def table(self, name: str, frame: pd.DataFrame, about: Mapping[str, Any] | None = None) -> None:
        """Write a table and what its columns mean."""
        write_table(frame, self.folder / name, sidecar=about, overwrite=self.overwrite)
        self.files.append(name)

    def draw(self, name: str, axes: Axes, caption: str) -> None:
        """Write a figure as SVG, without a date."""
        stream = BytesIO()
        figure = cast(Any, axes.figure)
        figure.savefig(stream, format="svg", metadata={"Date": None})
        write_atomically(self.folder / name, stream.getvalue(), overwrite=self.overwrite)
        self.files.append(name)
        self.drawn.append(Drawn(name, stream.getvalue().decode(), caption))

    def say(self, lines: Sequence[str]) -> None:
        """Print sentences that the page shows, too."""
        self.said += lines
        for line in lines:
            click.echo(line)


def answer(
    asked: Asked, how: Mapping[str, Any], forests: Sequence[str], folder: Path, *, overwrite: bool
) -> None:
    """Pool measures, write everything into the folder, and print the strongest effects."""
    _refuse_unknown(forests, asked.cohort.features)
    names = [*ALWAYS, "site_effects.tsv", *(f"mega_{model}.tsv" for model in asked.models)]
    names += ["strategies.tsv", "agreement.svg"] * asked.compare
    require_free(folder, names, overwrite=overwrite)
    results = Results(folder, overwrite, f"Effect of {asked.contrast}")
    effects = asked.effects()
    pooled = meta_analysis(effects, adjust=asked.p_adjust, **how)
    write_effects(results, effects)
    _write_meta(results, pooled, forests)
    for model in asked.models:
        _write_model(results, asked, model)
    compared = _write_comparison(results, asked) if asked.compare else None
    _finish(results, pooled, compared)


def answer_from_effects(
    paths: Sequence[Path],
    how: Mapping[str, Any],
    p_adjust: Any,
    forests: Sequence[str],
    folder: Path,
    *,
    overwrite: bool,
) -> None:
    """Pool tables of effects, of which no subject's data are known."""
    table = _read_effects(paths)
    _refuse_unknown(forests, [str(name) for name in table.get("feature", ["effect"])])
    require_free(folder, ALWAYS, overwrite=overwrite)
    results = Results(folder, overwrite)
    pooled = meta_analysis(table, adjust=p_adjust, **how)
    results.say(pool_words.tell_skipped(pooled.skipped))
    _write_meta(results, pooled, forests)
    _finish(results, pooled, None)


def only_effects(asked: Asked, folder: Path, *, overwrite: bool) -> None:
    """Write the effects of sites, to be pooled elsewhere."""
    require_free(folder, ("site_effects.tsv",), overwrite=overwrite)
    results = Results(folder, overwrite)
    write_effects(results, asked.effects())
    click.echo(f"\nWritten to {folder}: {', '.join(results.files)}")


def write_effects(results: Results, effects: SiteEffects) -> None:
    """Write what every site found, and what could not be done."""
    results.say([*pool_words.tell_effects(effects), *pool_words.tell_skipped(effects.skipped)])
    results.table("site_effects.tsv", effects.table, describe_effects(effects))
    for name, table in (("skipped.tsv", effects.skipped), ("left_out.tsv", effects.left_out)):
        if len(table):
            results.table(name, table)


def _read_effects(paths: Sequence[Path]) -> pd.DataFrame:
    """One table of all; a file without a column of sites is one site, named by the file."""
    tables = []
    for path in paths:
        table = read_table(path)
        if "effect" not in table:
            raise MissingColumnError(
                f"{path.name} has no column 'effect': {name_some(table.columns, 8)}. Tables of "
                f"effects have the columns site, feature, effect and se; to pool measures, say "
                f"what to test (--contrast).",
                column="effect",
            )
        tables.append(table if "site" in table else table.assign(site=path.name.split(".")[0]))
    return pd.concat(tables, ignore_index=True)


def _refuse_unknown(forests: Sequence[str], features: Sequence[str]) -> None:
    unknown = [name for name in forests if name not in features]
    if unknown:
        raise MissingColumnError(
            f"--forest {unknown[0]}: there is no such measure: {name_some(features, 8)}.",
            column=unknown[0],
        )


def _write_meta(results: Results, pooled: MetaAnalysis, forests: Sequence[str]) -> None:
    folder, overwrite = results.folder, results.overwrite
    pooled.write(folder / "pooled.tsv", overwrite=overwrite)
    results.files.append("pooled.tsv")
    without, influence = pooled.leave_one_out(), pooled.influence()
    about = describe_sites_left_out(without, "Effects pooled again without each site in turn")
    results.table("leave_one_out.tsv", without, about)
    about = describe_sites_left_out(influence, "How much each site moves the pooled effect")
    results.table("influence.tsv", influence, about)
    if pooled.studies.kind == "d":
        pooled.write(folder / "enigma.tsv", layout="enigma", overwrite=overwrite)
        results.files.append("enigma.tsv")
    results.say(pool_words.tell_pooled(pooled, without))
    click.echo("\n" + pool_words.smallest_p(pooled.table))
    what = KINDS.get(pooled.studies.kind or "", "effect")
    results.draw(
        "effects.svg",
        plot_effects(pooled.table, label=what),
        "Pooled effects in order, with their intervals.",
    )
    for name in forests or pooled.table.nsmallest(1, "p")["feature"]:
        results.draw(
            f"forest_{_file_name(name)}.svg",
            plot_forest(pooled, name),
            "What every site found. Diamond: pooled effect and its interval; bar: where to expect "
            "the effect at a new site.",
        )


def _write_model(results: Results, asked: Asked, model: Any) -> None:
    found = mega_analysis(**asked.question, model=model, p_adjust=asked.p_adjust)
    found.write(results.folder / f"mega_{model}.tsv", overwrite=results.overwrite)
    results.files.append(f"mega_{model}.tsv")
    click.echo()
    results.say(pool_words.tell_model(found))
    click.echo(pool_words.smallest_p(found.table, ["effect", "se", "df", "p", "p_adjusted"]))


def _write_comparison(results: Results, asked: Asked) -> PoolingComparison:
    compared = compare_pooling(
        **asked.question, min_per_group=asked.min_per_group, p_adjust=asked.p_adjust
    )
    compared.write(results.folder / "strategies.tsv", overwrite=results.overwrite)
    results.files.append("strategies.tsv")
    click.echo("\n" + "\n".join(pool_words.tell_strategies(compared)))
    results.draw(
        "agreement.svg",
        plot_agreement(compared),
        "What each strategy says of the strongest effects.",
    )
    return compared


def _finish(results: Results, pooled: MetaAnalysis, compared: PoolingComparison | None) -> None:
    write_page(
        results.folder / "pool.html",
        overwrite=results.overwrite,
        title=results.title,
        said=results.said,
        drawn=results.drawn,
        table=pooled.table[["feature", *(n for n in pool_words.COLUMNS if n in pooled.table)]],
        strategies=None if compared is None else pool_words.list_strategies(compared),
        reading=compared.reading if compared else (),
        files=results.files,
    )
    results.files.append("pool.html")
    click.echo(f"\nWritten to {results.folder}: {', '.join(results.files)}")


def _file_name(feature: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in feature)
