"""`isoscan demo volumes`: maps on the MNI152 template, harmonized, and compared with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

SITES = (16, 14, 12, 10)


def run(
    output: Path, *, overwrite: bool, resolution: int = 2, scans_per_site: Sequence[int] = SITES
) -> None:
    """Simulate maps, harmonize them, and say how close to the truth the result is."""
    from isoscan.cli.volumes_progress import shown
    from isoscan.harmonizing import require_free
    from isoscan.volumes import harmonize_volumes
    from isoscan.volumes.page import write_page
    from isoscan.volumes.simulated import simulate_maps

    maps, results = output / "input", output / "harmonized"
    require_free(maps, ["maps.tsv", "mask.nii.gz"], overwrite=overwrite)
    require_free(results, ["model.isoscan", "journal.jsonl", "report.html"], overwrite=overwrite)
    template = read_template(resolution)
    truth = simulate_maps(template, maps, scans_per_site=scans_per_site, random_state=7)
    paths = {scan: maps / path for scan, path in truth.people.path.items()}
    with shown() as progress:
        written, model = harmonize_volumes(
            paths,
            truth.people,
            preserve="age",
            mask=maps / "mask.nii.gz",
            output=results,
            overwrite=overwrite,
            progress=progress,
        )
    after = dict(zip(paths, written, strict=True))
    click.echo(
        f"{len(paths)} simulated maps of grey matter, {len(scans_per_site)} sites, "
        f"{len(truth.base):,} voxels of {resolution} mm. Was the truth found?\n"
    )
    click.echo("\n".join(compare_with_truth(truth, paths, after, model)))
    sites = truth.people.site.tolist()
    page = write_page(results, model, [*paths.values()], written, sites, overwrite=overwrite)
    click.echo(f"\nOpen {page}")
    click.echo(f"Maps, model and maps of the site effects: {results}")
    click.echo(f"\nThe same as a command:\nisoscan volumes harmonize {maps / 'maps.tsv'} \\")
    click.echo(f"    --preserve age --mask {maps / 'mask.nii.gz'} -o again")


def read_template(resolution: int) -> Any:
    """Load the map of grey matter of MNI152 that ships with nilearn, at some millimetres."""
    from importlib import import_module

    from isoscan.errors import MissingPackageError

    try:
        datasets = import_module("nilearn.datasets")
    except ImportError:
        raise MissingPackageError(
            "the demo reads the MNI152 template from the package nilearn. Install it: "
            "pip install 'isoscan[images]'."
        ) from None
    return datasets.load_mni152_gm_template(resolution=resolution)


def compare_with_truth(
    truth: Any, before: Mapping[Any, Path], after: Mapping[Any, Path], model: Any
) -> list[str]:
    """Say in lines how far maps, site effects and the effect of age are from the truth."""
    import numpy as np

    people = truth.people
    errors, slopes = _errors_and_slopes(truth, before, after)
    lines = ["  distance from maps without site effects, in SD between people:"]
    for site, rows in people.groupby("site").indices.items():
        far = np.sqrt(errors[:, rows].mean(axis=1))
        lines.append(f"    {site} ({len(rows)} scans): before {far[0]:.2f}, after {far[1]:.2f}")
    far = np.sqrt(errors.mean(axis=1))
    lines.append(f"    all: before {far[0]:.2f}, after {far[1]:.2f}")
    effects = model.estimator.model_.effects
    found = {"shift": effects.shift, "scale": np.sqrt(effects.variance)}
    for name, values in found.items():
        true = np.array([getattr(truth, name)[site] for site in model.estimator.sites_])
        agreement = np.corrcoef(values.ravel(), true.ravel())[0, 1]
        lines.append(f"  {name} of sites: correlation with the truth {agreement:.3f}")
    ages = [np.corrcoef(slope, truth.slope)[0, 1] for slope in slopes]
    lines.append(
        f"  effect of age: correlation with the truth before {ages[0]:.3f}, after {ages[1]:.3f}"
    )
    return lines


def _errors_and_slopes(truth: Any, before: Mapping[Any, Path], after: Mapping[Any, Path]) -> Any:
    """Mean square error of every map, and the effect of age in every voxel, before and after."""
    import numpy as np

    from isoscan.volumes.simulated import SD, values_in

    age = truth.people.age - truth.people.age.mean()
    errors, slopes = np.empty((2, len(age))), np.zeros((2, len(truth.base)))
    for row, scan in enumerate(truth.people.index):
        maps = np.array([values_in(paths[scan], truth.mask) for paths in (before, after)])
        clean = truth.without_site(scan, maps[0])
        errors[:, row] = (((maps - clean) / SD) ** 2).mean(axis=1)
        slopes += age.iloc[row] * maps
    return errors, slopes / (age**2).sum()
