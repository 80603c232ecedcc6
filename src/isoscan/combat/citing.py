"""What to write in a paper, and whom to cite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoscan.errors import count

if TYPE_CHECKING:
    from isoscan.combat.fitted import FittedSites

CITATIONS = {
    "johnson2007": (
        "Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data "
        "using empirical Bayes methods. Biostatistics 2007;8:118-127.",
        "10.1093/biostatistics/kxj037",
    ),
    "fortin2017": (
        "Fortin JP, Parker D, Tunc B, et al. Harmonization of multi-site diffusion tensor "
        "imaging data. NeuroImage 2017;161:149-170.",
        "10.1016/j.neuroimage.2017.08.047",
    ),
    "fortin2018": (
        "Fortin JP, Cullen N, Sheline YI, et al. Harmonization of cortical thickness "
        "measurements across scanners and sites. NeuroImage 2018;167:104-120.",
        "10.1016/j.neuroimage.2017.11.024",
    ),
}


def citations(model: FittedSites) -> list[dict[str, str]]:
    """Give the papers behind a model, for a list of references.

    Parameters
    ----------
    model : FittedSites
        A model, fitted or not.

    Returns
    -------
    list of dict
        Keys key, text and doi.
    """
    return [{"key": key, "text": text, "doi": doi} for key, (text, doi) in CITATIONS.items()]


def methods_text(model: FittedSites) -> list[str]:
    """Describe what a fitted model did, for the methods section of a paper.

    Parameters
    ----------
    model : FittedSites
        A fitted model.

    Returns
    -------
    list of str
        Paragraphs.
    """
    options = model.get_params(deep=False)  # type: ignore[attr-defined]
    n_scans = sum(model.scans_per_site_.values())
    kept = f"preserving {options['preserve']}" if options["preserve"] else "without covariates"
    taken = f" and removing {options['remove']}" if options["remove"] else ""
    opening = (
        f"{count(model.n_features_in_, 'measure')} of {count(n_scans, 'scan')} from "
        f"{count(model.sites_, 'site')} were harmonized with ComBat (Johnson et al., 2007; Fortin "
        f"et al., 2017, 2018), {kept}{taken}. Each measure was regressed on the covariates and on "
        f"site; the residuals' mean (shift)"
        + ("" if options["mean_only"] else " and standard deviation (scale)")
        + " at each site were estimated, "
    )
    return [opening + _shrinkage(options) + _reference(options) + _left_alone(model)]


def _shrinkage(options: dict[str, object]) -> str:
    if options["prior"] is None:
        return "and removed without shrinkage."
    stop = (
        "iterated to the fixed point"
        if options["convergence"] == "full"
        else "stopped as in neuroCombat at a relative change of 1e-4"
    )
    return (
        "shrunk towards what is typical of the site by parametric empirical Bayes "
        f"({stop}), and removed."
    )


def _reference(options: dict[str, object]) -> str:
    if options["reference"] is None:
        return ""
    return f" Site {options['reference']} was the reference and was left unchanged."


def _left_alone(model: FittedSites) -> str:
    if not model.passed_through_:
        return ""
    return (
        f" {count(model.passed_through_, 'measure')} without variation within sites passed through."
    )
