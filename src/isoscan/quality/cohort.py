"""Find the images of a study, and what other programs made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoscan.errors import DuplicateIdsError, MissingFileError, name_some
from isoscan.quality.reading import stem
from isoscan.tables.bids import parse_entities, read_json

LAYOUTS = ("sub-*/anat/*_T1w.nii*", "sub-*/ses-*/anat/*_T1w.nii*")
PROBABILITIES = ("CSF", "GM", "WM")
SCANNER_FIELDS = (
    "Manufacturer",
    "ManufacturersModelName",
    "MagneticFieldStrength",
    "SoftwareVersions",
    "ReceiveCoilName",
    "PulseSequenceType",
    "ScanningSequence",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
)
_SUFFIXES = (".nii", ".nii.gz")
_ENTITIES = {
    "sub": "subject_id",
    "ses": "session_id",
    "acq": "acq_id",
    "rec": "rec_id",
    "run": "run_id",
}


@dataclass(frozen=True)
class StudyImage:
    """One image of a study.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its name without suffix, such as "sub-01_ses-1_T1w".
    folder : Path
        Where it lies in the study, relative to it.
    """

    path: Path
    name: str
    folder: Path

    @property
    def result(self) -> Path:
        """File for its metrics, relative to the folder of results."""
        return self.folder / f"{self.name}.json"


def find_images(paths: Iterable[Path]) -> list[StudyImage]:
    """Find T1-weighted images.

    Parameters
    ----------
    paths : iterable of Path
        Images, or folders in BIDS layout.

    Returns
    -------
    list of StudyImage
        Sorted by name.

    Raises
    ------
    MissingFileError
        If a folder holds no T1-weighted image.
    DuplicateIdsError
        If two images have the same name.
    """
    found = [image for path in paths for image in _images_of(path)]
    names = [image.name for image in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DuplicateIdsError(
            f"{len(repeated)} names belong to several images: {name_some(repeated)}. Measure "
            f"them in separate runs, or remove the copies.",
            ids=repeated,
        )
    return sorted(found, key=lambda image: image.name)


def find_companions(image: StudyImage, where: str) -> dict[str, Any]:
    """Find masks and tissues that other programs made of an image.

    Parameters
    ----------
    image : StudyImage
        The image.
    where : str
        The folder of derivatives of fMRIPrep or sMRIPrep; the SUBJECTS_DIR of FreeSurfer; or
        the path of brain masks, with {name}, {subject} and {session} in it.

    Returns
    -------
    dict of {str: object}
        What `image_quality` takes: posteriors and brain_mask, segmentation, or brain_mask.

    Raises
    ------
    MissingFileError
        If there is nothing for this image.
    """
    if "{" in where:
        return {"brain_mask": _filled(image, where)}
    folder = Path(where)
    for name in _shorter(image.name):
        for anat in (folder / image.folder, folder / name.partition("_")[0] / "anat", folder):
            found = _of_fmriprep(anat / name)
            if found:
                return found
        for segmentation in ("aparc+aseg.mgz", "aseg.mgz"):
            labels = folder / name / "mri" / segmentation
            if labels.is_file():
                return {"segmentation": labels}
    raise MissingFileError(
        f"{folder} holds neither masks of fMRIPrep nor a segmentation of FreeSurfer for "
        f"{image.name}.",
        path=folder,
    )


def describe_image(image: StudyImage) -> dict[str, Any]:
    """Tell what name and sidecar say of an image, as MRIQC does.

    Parameters
    ----------
    image : StudyImage
        The image.

    Returns
    -------
    dict
        Entities under MRIQC's names, modality, and fields of the scanner.
    """
    entities = parse_entities(image.name)
    told = {long: entities[short] for short, long in _ENTITIES.items() if short in entities}
    sidecar = image.path.parent / f"{image.name}.json"
    fields = read_json(sidecar) if sidecar.is_file() else {}
    scanner = {name: fields[name] for name in SCANNER_FIELDS if name in fields}
    return {**told, "modality": "T1w", **scanner}


def _images_of(path: Path) -> Iterator[StudyImage]:
    if path.is_file() or not path.is_dir():
        yield StudyImage(path, stem(path), Path())
        return
    files = [file for layout in LAYOUTS for file in path.glob(layout)]
    files = [file for file in files if file.name.endswith(_SUFFIXES)]
    if not files:
        raise MissingFileError(
            f"{path} holds no T1-weighted image: there is no file like "
            f"sub-01/anat/sub-01_T1w.nii.gz or sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz.",
            path=path,
        )
    for file in files:
        yield StudyImage(file, stem(file), file.parent.relative_to(path))


def _shorter(name: str) -> list[str]:
    """The name without suffix, then without its last entities, one after the other."""
    parts = name.removesuffix("_T1w").split("_")
    return ["_".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _of_fmriprep(prefix: Path) -> dict[str, Any]:
    mask = prefix.with_name(f"{prefix.name}_desc-brain_mask.nii.gz")
    maps = [
        prefix.with_name(f"{prefix.name}_label-{tissue}_probseg.nii.gz") for tissue in PROBABILITIES
    ]
    labels = prefix.with_name(f"{prefix.name}_dseg.nii.gz")
    if not mask.is_file():
        return {}
    if all(path.is_file() for path in maps):
        return {"brain_mask": mask, "posteriors": maps}
    return {"brain_mask": mask, **({"segmentation": labels} if labels.is_file() else {})}


def _filled(image: StudyImage, pattern: str) -> Path:
    entities = parse_entities(image.name)
    words = {
        "name": image.name,
        "subject": f"sub-{entities['sub']}" if "sub" in entities else image.name,
        "session": f"ses-{entities['ses']}" if "ses" in entities else "",
    }
    for word, value in words.items():
        pattern = pattern.replace(f"{{{word}}}", value)
    path = Path(pattern)
    if not path.is_file():
        raise MissingFileError(f"there is no brain mask {path} for {image.name}.", path=path)
    return path
