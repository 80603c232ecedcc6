"""Answer one question by pooling; write tables and figures, and say what came out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import pandas as pd

from isoscan.cli.cohort import Cohort
from isoscan.cli.pool_page import write_page
from isoscan.errors import MissingColumnError, count, name_some
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
from isoscan.pooling.site_table import KINDS
from isoscan.tables import write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10
SMALL = ["k", "effect", "low", "high", "p", "p_adjusted", "I2"]


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
    kind, method, test, preset, p_adjust : str or None
        How; None for the default.
    min_per_group : int
        Sites with less are left out.
    models : tuple of str
        Models over all scans.
    compare : bool
        Whether to compare strategies.
    forests : tuple of str
        Measures to draw site by site.
    """

    cohort: Cohort
    contrast: str
    groups: tuple[str, str] | None
    adjust: str | None
    kind: Any
    method: Any
    test: Any
    preset: Any
    p_adjust: Any
    min_per_group: int
    models: tuple[Any, ...]
    compare: bool
    forests: tuple[str, ...]

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


def answer(asked: Asked, folder: Path, *, overwrite: bool) -> None:
    """Pool, write everything into the folder, and print the strongest effects."""
    unknown = [name for name in asked.forests if name not in asked.cohort.features]
    if unknown:
        raise MissingColumnError(
            f"--forest {unknown[0]}: there is no such measure: "
            f"{name_some(asked.cohort.features, 8)}.",
            column=unknown[0],
        )
    require_free(folder, _tables(asked), overwrite=overwrite)
    effects = site_effects(
        **asked.question,
        kind=asked.kind,
        min_per_group=asked.min_per_group,
    )
    pooled = meta_analysis(
        effects,
        method=asked.method,
        test=asked.test,
        preset=asked.preset,
        adjust=asked.p_adjust,
    )
    written = _write_meta(effects, pooled, folder, overwrite)
    said = _lines(effects, pooled)
    click.echo("\n".join([*said, "", _small(pooled.table, SMALL)]))
    written += _models(asked, folder, overwrite)
    compared = _compare(asked, folder, overwrite) if asked.compare else None
    figures = _draw(asked, pooled, compared, folder)
    write_page(
        folder / "pool.html",
        title=f"Effect of {asked.contrast}",
        said=said,
        figures=[folder / name for name in figures],
        table=pooled.table[["feature", *(name for name in SMALL if name in pooled.table)]],
        reading=compared.reading if compared else (),
    )
    written += [*["strategies.tsv"] * asked.compare, *figures, "pool.html"]
    click.echo(f"\nWritten to {folder}: {', '.join(written)}")


def _models(asked: Asked, folder: Path, overwrite: bool) -> list[str]:
    written = []
    for model in asked.models:
        found = mega_analysis(**asked.question, model=model, p_adjust=asked.p_adjust)
        written.append(f"mega_{model}.tsv")
        found.write(folder / written[-1], overwrite=overwrite)
        click.echo(f"\nMega-analysis, {found.conventions}")
        click.echo(_small(found.table, ["effect", "se", "df", "p", "p_adjusted"]))
        if found.table["singular"].any():
            singular = count(int(found.table["singular"].sum()), "measure")
            click.echo(f"Singular fit of {singular}: sites do not differ there beyond chance.")
    return written


def _compare(asked: Asked, folder: Path, overwrite: bool) -> PoolingComparison:
    compared = compare_pooling(
        **asked.question, min_per_group=asked.min_per_group, p_adjust=asked.p_adjust
    )
    compared.write(folder / "strategies.tsv", overwrite=overwrite)
    _tell_comparison(compared)
    return compared


def _tables(asked: Asked) -> list[str]:
    names = ["pooled", "site_effects", "leave_one_out"]
    names += [f"mega_{model}" for model in asked.models] + ["strategies"] * asked.compare
    return [*(f"{name}.tsv" for name in names), "pool.html"]


def _write_meta(
    effects: SiteEffects, pooled: MetaAnalysis, folder: Path, overwrite: bool
) -> list[str]:
    pooled.write(folder / "pooled.tsv", overwrite=overwrite)
    about = {
        "Description": f"Effect of {effects.contrast} at each site: {KINDS[effects.kind]}, from "
        f"{effects.formula}"
    }
    tables = {"site_effects.tsv": effects.table, "leave_one_out.tsv": pooled.leave_one_out()}
    if len(effects.skipped):
        tables["skipped.tsv"] = effects.skipped
    for name, table in tables.items():
        sidecar = about if name == "site_effects.tsv" else None
        write_table(table, folder / name, sidecar=sidecar, overwrite=overwrite)
    if effects.kind != "d":
        return ["pooled.tsv", *tables]
    pooled.write(folder / "enigma.tsv", layout="enigma", overwrite=overwrite)
    return ["pooled.tsv", *tables, "enigma.tsv"]


def _lines(effects: SiteEffects, pooled: MetaAnalysis) -> list[str]:
    what = KINDS[effects.kind]
    versus = f" ({effects.groups[1]} minus {effects.groups[0]})" if effects.groups else ""
    lines = [
        f"{effects.contrast}{versus}: {what}, {count(effects.features, 'measure')}, "
        f"{count(effects.sites, 'site')}; regression within sites: {effects.formula}",
        f"Pooled: {pooled.conventions}",
    ]
    for reason, rows in effects.skipped.groupby("reason", sort=False):
        lines.append(
            f"Left out: {count(rows['feature'].unique(), 'measure')} at "
            f"{count(rows['site'].unique(), 'site')} ({name_some(rows['site'].unique(), 3)}): "
            f"{reason}."
        )
    p = pooled.table["p"].dropna()
    lines.append(f"p < 0.05 for {int((p < 0.05).sum())} of {count(p, 'measure')}")
    if "p_adjusted" in pooled.table:
        lines[-1] += f", {int((pooled.table['p_adjusted'] < 0.05).sum())} after adjustment"
    return lines


def _small(table: pd.DataFrame, columns: list[str]) -> str:
    """The measures with the smallest p, as text."""
    chosen = table.nsmallest(SHOWN, "p")[["feature", *(set(columns) & set(table))]]
    chosen = chosen[["feature", *[name for name in columns if name in chosen]]]
    return chosen.to_string(index=False, float_format=lambda value: f"{value:.3g}")


def _tell_comparison(compared: PoolingComparison) -> None:
    table = compared.table
    overview = pd.DataFrame(
        {
            "p < 0.05": (table["p"] < 0.05).groupby(table["strategy"]).sum(),
            "assumes": table.groupby("strategy")["assumes"].first(),
        }
    ).loc[list(compared.strategies)]
    click.echo("\nStrategies side by side:")
    for strategy, found, assumes in overview.itertuples():
        click.echo(f"  {strategy:14} {found:5} with p < 0.05; {assumes}")
    for note in compared.notes.itertuples():
        click.echo(f"  {note.strategy} was not possible: {note.note}")
    click.echo("\n" + "\n".join(compared.reading))


def _draw(
    asked: Asked, pooled: MetaAnalysis, compared: PoolingComparison | None, folder: Path
) -> list[str]:
    shown = asked.forests or tuple(pooled.table.nsmallest(1, "p")["feature"])
    what = KINDS[pooled.studies.kind or "beta"]
    figures = {"effects.svg": plot_effects(pooled.table, label=what)}
    for name in shown:
        figures[f"forest_{_file_name(name)}.svg"] = plot_forest(pooled, name)
    if compared is not None:
        figures["agreement.svg"] = plot_agreement(compared)
    for name, axes in figures.items():
        cast("Figure", axes.figure).savefig(folder / name)
    return list(figures)


def _file_name(feature: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in feature)
