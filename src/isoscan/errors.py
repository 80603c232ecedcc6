"""Every error and warning isoscan raises on purpose.

Each message is one sentence or two: what is wrong, where, how many, and what to
do about it. The offending names are also attributes of the exception, so that
programs need not parse the sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Any


def name_some(names: Iterable[object], limit: int = 5) -> str:
    """Quote the first few names and count the rest.

    Parameters
    ----------
    names : iterable
        Names to list.
    limit : int
        How many to spell out.

    Returns
    -------
    str
        The names, quoted, separated by commas.

    Examples
    --------
    >>> name_some(["KCL", "OSL"])
    "'KCL', 'OSL'"
    >>> name_some("abcdefg", limit=2)
    "'a', 'b' and 5 more"
    """
    return _list([f"'{name}'" for name in names], limit)


def name_counts(numbers: Mapping[Any, int], limit: int = 5) -> str:
    """Quote the first few names, each with its number, and count the rest.

    Parameters
    ----------
    numbers : mapping of {str: int}
        Number of each name.
    limit : int
        How many to spell out.

    Returns
    -------
    str
        Names and numbers, separated by commas.

    Examples
    --------
    >>> name_counts({"KCL": 4, "OSL": 7})
    "'KCL' (4), 'OSL' (7)"
    """
    return _list([f"'{name}' ({number})" for name, number in numbers.items()], limit)


def _list(quoted: list[str], limit: int) -> str:
    rest = len(quoted) - limit
    if rest <= 1:  # "and 1 more" would be as long as the name itself
        return ", ".join(quoted)
    return f"{', '.join(quoted[:limit])} and {rest} more"


def count(things: int | Sized, noun: str, plural: str | None = None) -> str:
    """Say how many there are of something.

    Parameters
    ----------
    things : int or sized
        The number, or what to count.
    noun : str
        Singular noun.
    plural : str, optional
        Plural noun; the singular with an s by default.

    Returns
    -------
    str
        Number and noun in agreement.

    Examples
    --------
    >>> count(1, "scan"), count(["a", "b"], "site"), count(0, "study", "studies")
    ('1 scan', '2 sites', '0 studies')
    """
    number = things if isinstance(things, int) else len(things)
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


class IsoscanError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    message : str
        What is wrong, where, how many, what to do.
    **details : object
        The offending names and numbers; also available as attributes.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details
        for name, value in details.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:  # for type checkers: details are attributes
        raise AttributeError(name)


class DataError(IsoscanError, ValueError):
    """The data cannot be used as they are."""


class TableFormatError(DataError):
    """A table cannot be read or understood."""


class MissingColumnError(DataError, KeyError):
    """A column that is needed is not there."""

    def __str__(self) -> str:
        return str(self.args[0])


class DuplicateIdsError(DataError):
    """Several rows carry the same identifier."""


class UnmatchedRowsError(DataError):
    """Rows of one table have no partner in another."""


class NotNumericError(DataError):
    """Values that must be numbers are not."""


class InfiniteValuesError(DataError):
    """Measures contain infinities."""


class MissingValuesError(DataError):
    """Values are missing where none may be."""


class FeatureMismatchError(DataError):
    """The columns are not those the model was fitted on."""


class SiteLabelError(DataError):
    """Site labels are missing or ambiguous."""


class TooFewScansError(DataError):
    """A site, or the whole sample, has too few scans."""


class TooFewSitesError(DataError):
    """There is only one site."""


class UnknownSiteError(DataError):
    """Rows come from sites the model has not seen."""


class NoVarianceError(DataError):
    """A site, or every feature, does not vary."""


class TooManyComponentsError(DataError):
    """More principal components are asked for than the data span."""


class DesignError(DataError):
    """The covariates and the formula do not fit together."""


class FormulaError(DesignError):
    """A formula cannot be parsed or uses something that is not allowed."""


class MissingCovariateError(DesignError, KeyError):
    """A covariate named in the formula is not in the table."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnseenLevelError(DesignError):
    """A category did not occur when the model was fitted."""


class ConstantTermError(DesignError):
    """A term has the same value for every scan."""


class ConfoundedDesignError(DesignError):
    """Terms cannot be told apart from each other or from site."""


class TooManyTermsError(DesignError):
    """The design has more columns than there are scans."""


class SmoothTermError(DesignError):
    """A covariate cannot enter as a smooth curve."""


class ExtrapolationError(DesignError):
    """A covariate lies beyond what the model has seen, and that is not allowed."""


class TargetLeakError(DesignError):
    """What will be predicted is among the covariates that are preserved."""


class DisclosureError(DataError):
    """A message would show something about a single person; it was not written."""


class MixedModelError(DataError):
    """Groups, or a slope within groups, cannot be told apart from the rest of the model."""


class ImageFileError(DataError):
    """An image file is damaged, or is not what it says it is."""


class GridMismatchError(DataError):
    """Images do not lie on one grid."""


class MaskError(DataError):
    """A mask holds nothing, or not what a mask holds."""


class NoBrainError(DataError):
    """No brain was found in an image, or nothing that has the tissues of one."""


class OutOfSpaceError(IsoscanError, OSError):
    """Memory or disk would not suffice; said before the work begins."""


class FolderInUseError(IsoscanError, OSError):
    """Another run is writing into the same folder."""


class ModelFileError(IsoscanError, ValueError):
    """A model file is damaged, hostile, or from another version."""


class MessageFileError(ModelFileError):
    """A study file or a message of a federated fit is damaged, hostile, or does not fit."""


class MissingFileError(IsoscanError, FileNotFoundError):
    """A file or folder to read is not there."""


class MissingPackageError(IsoscanError, ImportError):
    """An optional package is not installed."""


class OutputExistsError(IsoscanError, FileExistsError):
    """A result would overwrite something."""


class IsoscanWarning(UserWarning):
    """Base of every warning; each names something the user can act on."""


class SiteLabelWarning(IsoscanWarning):
    """Site labels look alike or were converted."""


class SmallSiteWarning(IsoscanWarning):
    """A site has few scans."""


class MissingValuesWarning(IsoscanWarning):
    """Measures are missing."""


class ConstantFeatureWarning(IsoscanWarning):
    """A feature does not vary, everywhere or at one site."""


class PriorWarning(IsoscanWarning):
    """Empirical Bayes has little or nothing to learn from."""


class UnknownSiteWarning(IsoscanWarning):
    """Rows come from sites the model has not seen."""


class PrecisionWarning(IsoscanWarning):
    """Numbers carry fewer digits than the result suggests."""


class ConvergenceWarning(IsoscanWarning):
    """An estimate was not found, or lies on the boundary of what is possible."""


class ExtrapolationWarning(IsoscanWarning):
    """A covariate lies outside the range seen in training."""


class ConfoundingWarning(IsoscanWarning):
    """Covariates and site overlap only in part."""


class AlignmentWarning(IsoscanWarning):
    """Rows or columns were put into another order, or left out on request."""


class ImageWarning(IsoscanWarning):
    """An image was read after an interpretation the user should know of."""


class CoverageWarning(IsoscanWarning):
    """Some voxels of the mask have no values at some scans or sites."""


class ColumnChoiceWarning(IsoscanWarning):
    """A column of numbers was taken for no measure."""


class RepeatedScansWarning(IsoscanWarning):
    """People were scanned repeatedly, but their scans are treated as those of strangers."""


class HarmonizedBeforeWarning(IsoscanWarning):
    """Measures were harmonized before."""


class TableFormatWarning(IsoscanWarning):
    """A table was read after an interpretation the user should know of."""
