"""Maps with known site effects, for the tests of volumes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

SHAPE = (12, 11, 9)
AFFINE = np.array([[-2.0, 0, 0, 11], [0, 2, 0, -9], [0, 0, 2, -7], [0, 0, 0, 1]])


@dataclass
class Study:
    """Maps of one study in memory."""

    arrays: dict[str, np.ndarray]
    people: pd.DataFrame
    mask: np.ndarray

    @property
    def table(self) -> np.ndarray:
        """Scans times voxels in storage order."""
        return inside(self.arrays.values(), self.mask)

    def write(self, folder: Path, dtype: str = "f4") -> dict[str, Path]:
        """Write the maps as files; give their paths by scan id."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        for scan, array in self.arrays.items():
            paths[scan] = folder / f"{scan}_FA.nii.gz"
            write_image(paths[scan], array.astype(dtype))
        return paths


def write_image(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write an image in MNI space, in millimetres."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_sform(affine, code=4)
    nib.save(image, path)
    return path


def inside(maps, mask: np.ndarray) -> np.ndarray:
    """Scans times voxels of a mask, in storage order."""
    return np.array([np.asarray(array).ravel("F")[mask.ravel("F") > 0] for array in maps])


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def noted(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the journal lists."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return {line["file"]: line["sha256"] for line in lines[1:]}


def results(folder: Path) -> dict[str, str]:
    """SHA-256 of every result, and of those that the journal lists, in whatever order."""
    found = {name: value for name, value in hashes(folder).items() if name != "journal.jsonl"}
    return found | {f"{name} in the journal": value for name, value in noted(folder).items()}


def make_study(
    sites: dict[str, int] | None = None,
    *,
    seed: int = 0,
    ages: tuple[float, float] = (20, 80),
) -> Study:
    """Simulate maps: a smooth base, an age effect, a shift and a scale per site."""
    random = np.random.default_rng(seed)
    sites = sites or {"KCL": 16, "MUC": 13, "OSL": 14}
    labels = np.repeat(list(sites), list(sites.values()))
    order = random.permutation(len(labels))
    labels = labels[order]
    base = np.linspace(0.3, 0.7, SHAPE[0])[:, None, None] * np.ones(SHAPE)
    shift = {site: random.normal(0, 0.1, SHAPE) + random.normal(0, 0.1) for site in sites}
    scale = {site: random.uniform(0.7, 1.4) for site in sites}
    age = random.uniform(*ages, len(labels))
    arrays = {
        f"sub-{number:03d}": (
            base + 0.002 * years + shift[site] + scale[site] * random.normal(0, 0.05, SHAPE)
        )
        for number, (site, years) in enumerate(zip(labels, age, strict=True))
    }
    sex = random.choice(["f", "m"], len(labels))
    people = pd.DataFrame({"site": labels, "age": age, "sex": sex}, index=list(arrays))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[2:10, 2:9, 1:8] = 1
    return Study(arrays, people, mask)
