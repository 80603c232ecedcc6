"""One page that shows maps before and after: it needs no network and nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoscan.errors import count
from isoscan.tables.write import write_atomically
from isoscan.volumes.damaged import Damaged
from isoscan.volumes.figures import (
    as_webp,
    draw_histograms,
    draw_site_f,
    draw_slices,
    plain_style,
)
from isoscan.volumes.model import VolumeModel
from isoscan.volumes.pictures import Shown, Slices, gather_shown

if TYPE_CHECKING:
    from jinja2 import Template

PAGE, FIGURES = "report.html", "figures"

_ABOUT = {
    "slices": (
        "Maps",
        "Mean map of each site, {rest}, before and after, all on one colour scale. Front is up, "
        "left is left.",
    ),
    "differences": (
        "What tells sites apart",
        "Mean map of each site minus the mean of all sites shown. What covariates explain is still "
        "in here: sites whose people differ in age differ, before and after.",
    ),
    "histograms": (
        "Distributions",
        "Values in the mask at each site, {rest}, before and after, on the same axes.",
    ),
    "site_f": (
        "Where site is",
        "F statistic of site in every voxel, added to the covariates. After is optimistic by "
        "construction: the effects were estimated from these scans.",
    ),
}


def write_page(
    folder: str | Path,
    model: VolumeModel,
    before: Sequence[Path],
    after: Sequence[Path],
    labels: Sequence[str],
    *,
    skipped: Sequence[Damaged] = (),
    overwrite: bool = False,
) -> Path:
    """Write figures of maps before and after, and a page that holds them.

    Parameters
    ----------
    folder : path-like
        Gets ``report.html`` and ``figures/``.
    model : VolumeModel
        What harmonized the maps.
    before, after : sequence of path-like
        Files, in the same order.
    labels : sequence of str
        Site of each.
    skipped : sequence of Damaged
        Maps that were left out because they cannot be read.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputExistsError
        If files exist and may not be replaced.
    """
    folder = Path(folder)
    shown = gather_shown([*map(Path, before)], [*map(Path, after)], labels, model.mask)
    pictures = draw_all(shown, model)
    for name, content in pictures.items():
        write_atomically(folder / FIGURES / f"{name}.webp", content, overwrite=overwrite)
    page = render_page(shown, model, pictures, np.asarray(labels, dtype=str).tolist(), skipped)
    write_atomically(folder / PAGE, page.encode(), overwrite=overwrite)
    return folder / PAGE


def draw_all(shown: Shown, model: VolumeModel) -> dict[str, bytes]:
    """Draw all figures of a page.

    Parameters
    ----------
    shown : Shown
        A few scans of each site.
    model : VolumeModel
        What harmonized them.

    Returns
    -------
    dict of {str: bytes}
        WebP images by name.
    """
    slices, gaps = Slices(shown.mask), shown.differences()
    known = np.abs(gaps[0][np.isfinite(gaps[0])])
    far = float(np.quantile(known, 0.99)) if known.size else 0.0
    limits = (-far, far) if far > 0 else (-1.0, 1.0)
    with plain_style():
        figures = {
            "slices": draw_slices(
                shown.means, shown.sites, slices, shown.range, label="mean of a site"
            ),
            "differences": draw_slices(
                gaps, shown.sites, slices, limits, colours="RdBu_r", label="site minus all sites"
            ),
            "histograms": draw_histograms(shown),
        }
        if model.site_f is not None:
            figures["site_f"] = draw_site_f(model.site_f, slices)
        return {name: as_webp(figure) for name, figure in figures.items()}


def render_page(
    shown: Shown,
    model: VolumeModel,
    pictures: Mapping[str, bytes],
    labels: Sequence[str],
    skipped: Sequence[Damaged] = (),
) -> str:
    """Put figures and numbers into one HTML page.

    Parameters
    ----------
    shown : Shown
        A few scans of each site.
    model : VolumeModel
        What harmonized them.
    pictures : mapping of {str: bytes}
        WebP images by name.
    labels : sequence of str
        Site of every map.
    skipped : sequence of Damaged
        Maps that were left out because they cannot be read.

    Returns
    -------
    str
        HTML; it loads nothing.
    """
    from isoscan import __version__

    rest = f"up to {max(shown.scans)} scans each"
    figures = [
        {
            "heading": _ABOUT[name][0],
            "caption": _ABOUT[name][1].format(rest=rest),
            "alt": f"{_ABOUT[name][0]}, before and after: {', '.join(shown.sites)}",
            "data": base64.b64encode(content).decode(),
        }
        for name, content in pictures.items()
    ]
    return _template().render(
        version=__version__,
        title=f"{count(len(labels), 'map')} from {count(shown.n_sites, 'site')}",
        summary=_summary(model),
        tests=_tests(model),
        rows=_rows(shown, labels),
        note=_note(shown),
        figures=figures,
        skipped=skipped,
    )


def _summary(model: VolumeModel) -> str:
    estimator = model.estimator
    preserved = getattr(estimator, "preserve", None)
    kept = f"preserving {preserved}" if preserved else "nothing preserved"
    left = f"; {len(model.left_out):,} left out" if len(model.left_out) else ""
    voxels = f"{len(model.mask.voxels):,} voxels harmonized{left}"
    return f"{type(estimator).__name__}, {kept}. {voxels}. Model {model.hash_[:12]}."


def _tests(model: VolumeModel) -> str:
    if model.site_f is None:
        return ""
    before, after = np.nanmedian(model.site_f, axis=1)
    return f"Site, F of the median voxel: {before:.3g} before, {after:.3g} after."


def _rows(shown: Shown, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Mean and SD of the values of each site."""
    rows = []
    for site, values in zip(shown.sites, shown.values, strict=True):
        numbers = [*np.nanmean(values, axis=1), *np.nanstd(values, axis=1)]
        scans = sum(label == site for label in labels)
        rows.append(
            {"site": site, "scans": scans, "numbers": [f"{number:.4g}" for number in numbers]}
        )
    return rows


def _note(shown: Shown) -> str:
    less = ""
    if len(shown.sites) < shown.n_sites:
        less = f" Only the {len(shown.sites)} largest of {shown.n_sites} sites are shown."
    return (
        f"Means, SD and pictures rest on up to {max(shown.scans)} scans of each site, spread "
        f"evenly over the list; means and SD are over scans and voxels.{less}"
    )


@cache
def _template() -> Template:
    from jinja2 import Environment

    text = (files("isoscan.volumes") / "templates" / "page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(text)
