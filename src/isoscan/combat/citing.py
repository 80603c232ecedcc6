"""What to write in a paper, and whom to cite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isoscan.errors import count, name_some

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
    "pomponio2020": (
        "Pomponio R, Erus G, Habes M, et al. Harmonization of large MRI datasets for the analysis "
        "of brain imaging patterns throughout the lifespan. NeuroImage 2020;208:116450.",
        "10.1016/j.neuroimage.2019.116450",
    ),
    "wood2011": (
        "Wood SN. Fast stable restricted maximum likelihood and marginal likelihood estimation of "
        "semiparametric generalized linear models. J R Stat Soc B 2011;73:3-36.",
        "10.1111/j.1467-9868.2010.00749.x",
    ),
    "chen2022": (
        "Chen AA, Beer JC, Tustison NJ, et al. Mitigating site effects in covariance for machine "
        "learning in neuroimaging data. Human Brain Mapping 2022;43:1179-1195.",
        "10.1002/hbm.25688",
    ),
    "gardner2024": (
        "Gardner M, Shinohara RT, Bethlehem RAI, et al. ComBatLS: a location- and "
        "scale-preserving method for multi-site image harmonization. bioRxiv 2024.06.21.599875.",
        "10.1101/2024.06.21.599875",
    ),
    "beer2020": (
        "Beer JC, Tustison NJ, Cook PA, et al. Longitudinal ComBat: a method for harmonizing "
        "longitudinal multi-scanner imaging data. NeuroImage 2020;220:117129.",
        "10.1016/j.neuroimage.2020.117129",
    ),
}
COMBAT = ("johnson2007", "fortin2017", "fortin2018")
OF_METHOD = {
    "CovBat": ("chen2022",),
    "ComBatLS": ("gardner2024",),
    "LongitudinalComBat": ("beer2020",),
}
NAMES = {"LongitudinalComBat": "longitudinal ComBat"}


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

    Examples
    --------
    >>> from isoscan.combat import CovBat
    >>> [paper["key"] for paper in citations(CovBat())]
    ['johnson2007', 'fortin2017', 'fortin2018', 'chen2022']
    """
    curves = ("pomponio2020", "wood2011") if getattr(model, "smooth", ()) else ()
    keys = (*COMBAT, *OF_METHOD.get(type(model).__name__, ()), *curves)
    return [{"key": key, "text": CITATIONS[key][0], "doi": CITATIONS[key][1]} for key in keys]


def methods_text(model: FittedSites, column: str | None = None) -> list[str]:
    """Describe what a fitted model did, for the methods section of a paper.

    Parameters
    ----------
    model : FittedSites
        A fitted model.
    column : str, optional
        Variable whose groups took the place of sites.

    Returns
    -------
    list of str
        Paragraphs.
    """
    n_scans = sum(model.scans_per_site_.values())
    name, one = type(model).__name__, "site" if column is None else "group"
    expected = model._expectation(column or "site")
    groups = count(model.sites_, one) + ("" if column is None else f" of {column}")
    opening = (
        f"{count(model.n_features_in_, 'measure')} of {count(n_scans, 'scan')} from "
        f"{groups} were harmonized with {NAMES.get(name, name)} "
        f"({_authors(model)}), {_covariates(model)}. {expected} The "
        f"{'median' if model.robust else 'mean'} (shift)"
        + ("" if model.mean_only else f" and {_spread(model)} (scale)")
        + f" of each {one}'s deviations were estimated, "
    )
    parts = (_shrinkage(model, one), model.further_text_, _subset(model), _reference(model, one))
    return [opening + " ".join(part for part in (*parts, _left_alone(model, one)) if part)]


def _authors(model: FittedSites) -> str:
    """First authors and years, as in a text."""
    by_author: dict[str, list[str]] = {}
    for paper in citations(model):
        author = str(paper["text"].split(" ")[0])
        by_author.setdefault(author, []).append(paper["key"][-4:])
    return "; ".join(
        f"{author} et al., {', '.join(sorted(set(years)))}" for author, years in by_author.items()
    )


def _spread(model: FittedSites) -> str:
    return "biweight midvariance" if model.robust else "standard deviation"


def _covariates(model: FittedSites) -> str:
    kept = [model.preserve] if model.preserve else []
    kept += [f"a smooth curve of {name}" for name in _listed(model.smooth)]
    taken = f" and removing {model.remove}" if model.remove else ""
    return (f"preserving {' and '.join(kept)}" if kept else "without covariates") + taken


def _listed(terms: Any) -> list[str]:
    return [terms] if isinstance(terms, str) else list(terms)


def _shrinkage(model: FittedSites, one: str) -> str:
    if model.prior is None:
        return "and removed without shrinkage."
    if model.prior == "nonparametric":
        return (
            f"shrunk towards those of the {one}'s other measures by non-parametric empirical "
            "Bayes, and removed."
        )
    stop = "iterated to the fixed point" if model.convergence == "full" else model.stop_text_
    return (
        f"shrunk towards what is typical of the {one} by parametric empirical Bayes "
        f"({stop}), and removed."
    )


def _subset(model: FittedSites) -> str:
    if model.fit_on is None:
        return ""
    return f"Estimates rest on the scans with {model.fit_on}, and were applied to all."


def _reference(model: FittedSites, one: str) -> str:
    if model.reference is None:
        return ""
    return f"{one.capitalize()} {model.reference} was the reference and was left unchanged."


def _left_alone(model: FittedSites, one: str) -> str:
    if not model.passed_through_:
        return ""
    return (
        f"{count(model.passed_through_, 'measure')} without variation within {one}s passed "
        f"through: {name_some(model.passed_through_, 8)}."
    )
