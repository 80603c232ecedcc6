"""`isoscan federated`: harmonize without pooling, by files of sums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from isoscan.cli import options
from isoscan.cli.sections import SectionedCommand, under

HELP = {"help_option_names": ["-h", "--help"]}
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
Verb = Callable[[Callable[..., None]], click.Command]

_model, _results, _limits = under("Model"), under("Results"), under("Disclosure")


@click.group("federated", context_settings=HELP)
def command() -> None:
    """Harmonize without pooling: sites send sums over many people, never a row of data.

    The centre writes a study file (study), every site sums up its scans (summarize), the centre
    makes the model (combine), and every site applies it (isoscan apply). In sums mode the sites
    finish models of their own (finish).
    """


def _verb(name: str) -> Verb:
    return command.command(name, cls=SectionedCommand, context_settings=HELP)


def _named(kind: str) -> Callable[..., dict[str, str]]:
    """Read words of the form NAME=VALUE."""

    def read(
        ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
    ) -> dict[str, str]:
        pairs = {}
        for text in values:
            name, equals, value = text.partition("=")
            if not (name and equals and value):
                raise click.BadParameter(f"give {kind}, not '{text}'.", ctx, parameter)
            pairs[name] = value
        return pairs

    return read


_agreed = options.combine(
    options.preserve,
    _model("--remove", metavar="FORMULA", help="What is taken out with the site effect."),
    _model("--smooth", multiple=True, metavar="NAME", help="Covariate that enters as a curve."),
    _model(
        "--prior",
        type=click.Choice(["parametric", "nonparametric", "none"]),
        default="parametric",
        show_default=True,
        help="Kind of empirical Bayes.",
    ),
    _model("--mean-only", is_flag=True, help="Correct shifts only."),
    _model("--reference", metavar="BATCH", help="Batch whose scans come back unchanged."),
    _model(
        "--missing",
        type=click.Choice(["error", "drop", "pattern"]),
        default="drop",
        show_default=True,
        help="Scans that lack a measure: refuse, leave out, or use what they have.",
    ),
    _limits("--people", default=10, show_default=True, help="Fewest people behind a number."),
    _limits("--cell", default=5, show_default=True, help="Fewest people of a level."),
    _limits("--share", default=0.33, show_default=True, help="Most design columns per person."),
    _limits("--degrees", default=10, show_default=True, help="Fewest people beyond columns."),
    _limits("--difference", default=5, show_default=True, help="Fewest people between releases."),
)


@_verb("study")
@click.argument("output", type=NEW_FILE)
@click.option("--name", required=True, help="Short name of the study.")
@click.option(
    "--features",
    "file",
    type=options.EXISTING,
    help="Table of measures in order: name, then unit, one per line, with a header.",
)
@click.option(
    "--feature",
    "single",
    multiple=True,
    callback=_named("NAME=UNIT"),
    metavar="NAME=UNIT",
    help="One measure; may be repeated.",
)
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    callback=_named("NAME=LOW:HIGH or NAME=LEVEL,LEVEL"),
    metavar="NAME=...",
    help="Range of a number (age=5:90), or levels of a category, the one to compare with first "
    "(sex=F,M). May be repeated.",
)
@_agreed
@_results("--overwrite", is_flag=True, help="Replace results that exist.")
def study(
    output: Path,
    name: str,
    file: Path | None,
    single: dict[str, str],
    covariates: dict[str, str],
    overwrite: bool,
    **rest: Any,
) -> None:
    """At the centre: write the study file OUTPUT, which all sites get.

    It says which measures in which unit, what is preserved, how covariates are coded, and below
    how many people nothing is sent.
    """
    from isoscan.errors import count

    features = single if file is None else {**_read_features(file), **single}
    agreed = {key: _range_or_levels(key, text) for key, text in covariates.items()}
    made = _study(name, features, agreed, rest)
    made.save(output, overwrite=overwrite)
    click.echo(
        f"{output}: {count(len(made.features), 'measure')}, "
        f"{count(len(made.columns), 'design column')}. Hash {made.sha256}.\n"
        f"Send the file to every site, and the hash by another way."
    )


def _study(name: str, features: dict[str, str], covariates: dict[str, Any], rest: Any) -> Any:
    from isoscan.federated import Study, Thresholds

    names = ("people", "cell", "share", "degrees", "difference")
    limits = Thresholds(**{key: rest.pop(key) for key in names})
    rest["prior"] = None if rest["prior"] == "none" else rest["prior"]
    return Study(name, features, covariates, thresholds=limits, **rest)


def _read_features(path: Path) -> dict[str, str]:
    from isoscan.tables import read_table

    table = read_table(path)
    units = table.iloc[:, 1] if table.shape[1] > 1 else ["unknown"] * len(table)
    return {str(name): str(unit) for name, unit in zip(table.iloc[:, 0], units, strict=True)}


def _range_or_levels(name: str, text: str) -> Any:
    if ":" not in text:
        return [level.strip() for level in text.split(",")]
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise click.UsageError(f"--covariate {name}={text}: give LOW:HIGH as numbers.") from None
    return low, high


@_verb("summarize")
@click.argument("study", type=options.EXISTING)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@click.option("--location", required=True, help="Name of this site in the message.")
@click.option("--part", default="1", show_default=True, help="Name of this part of its scans.")
@click.option(
    "--mode",
    type=click.Choice(["full", "sums"]),
    default="full",
    show_default=True,
    help="Moments of each batch, or totals over all of them.",
)
@_limits(
    "--ledger",
    type=options.FOLDER,
    help="Folder that remembers what was released; in the user's settings by default.",
)
@_limits("--accept-thresholds", is_flag=True, help="Accept a study laxer than the defaults.")
@_results("-y", "--yes", is_flag=True, help="Do not ask before writing.")
@options.output()
@options.cohort
def summarize(
    study: Path,
    measures: tuple[Path, ...],
    location: str,
    part: str,
    mode: Any,
    ledger: Path | None,
    accept_thresholds: bool,
    yes: bool,
    output: Path,
    overwrite: bool,
    **rest: Any,
) -> None:
    """At a site: show what would be told, check that it is about no one, write the message.

    STUDY is the file from the centre. Writes the message, which goes to the centre, and a
    receipt, which stays.
    """
    from isoscan.federated import prepare, read_study
    from isoscan.harmonizing import require_free
    from isoscan.tables.write import write_json

    agreed = read_study(study)
    stem = _file_name(location if part == "1" else f"{location}-{part}")
    files = (f"{stem}.summary.isoscan", f"{stem}.receipt.json")
    require_free(output, files, overwrite=overwrite)
    cohort = _read(agreed, measures, rest)
    release = prepare(
        cohort.measures,
        agreed,
        sites=cohort.sites,
        covariates=cohort.people,
        people=cohort.table.get("participant_id"),
        location=location,
        part=part,
        mode=mode,
        ledger=ledger or Path(click.get_app_dir("isoscan")) / "ledger",
        thresholds=agreed.thresholds if accept_thresholds else None,
    )
    click.echo(release.preview)
    if not yes:
        click.confirm("Write this message?", abort=True)
    release.send().save(output / files[0], overwrite=overwrite)
    write_json(output / files[1], release.receipt(), overwrite=overwrite)
    click.echo(f"Send {output / files[0]} to the centre. Keep {output / files[1]}.")


def _read(study: Any, measures: tuple[Path, ...], rest: dict[str, Any]) -> Any:
    from isoscan.cli.cohort import read_cohort

    rest["features"] = tuple(rest["features"]) or tuple(study.features)
    return read_cohort(measures, needed=study.used, **rest)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)


@_verb("combine")
@click.argument("study", type=options.EXISTING)
@click.argument("messages", nargs=-1, required=True, type=options.EXISTING)
@click.option(
    "--allowed-signers",
    type=options.EXISTING,
    help="Public keys of the sites; every message must be signed (MESSAGE.sig beside it).",
)
@options.output()
def combine(
    study: Path,
    messages: tuple[Path, ...],
    allowed_signers: Path | None,
    output: Path,
    overwrite: bool,
) -> None:
    """At the centre: check all MESSAGES, compare the sites, and make the model.

    Writes model.isoscan, an ordinary model, and quality.tsv. Run it again when a site comes
    late. Of messages in sums mode it writes coefficients.isoscan for the sites to finish.
    """
    from isoscan.errors import count
    from isoscan.federated import Coefficients, quality_table, read_all, read_study
    from isoscan.federated import combine as make
    from isoscan.federated.signatures import require_signature
    from isoscan.harmonizing import require_free
    from isoscan.tables import write_table

    files = ("model.isoscan", "quality.tsv", "coefficients.isoscan")
    require_free(output, files, overwrite=overwrite)
    agreed = read_study(study)
    read = read_all(agreed, messages)
    if allowed_signers is not None:
        for path, message in zip(messages, read, strict=True):
            require_signature(path, allowed_signers, message.sender.location)
    table = quality_table(agreed, read)
    if len(table):
        click.echo(table.to_string(index=False, float_format=lambda number: f"{number:.2f}"))
    made = make(agreed, read)
    output.mkdir(parents=True, exist_ok=True)
    if isinstance(made, Coefficients):
        made.save(output / files[2], overwrite=overwrite)
        click.echo(f"Send {output / files[2]} to every site (isoscan federated finish).")
        return
    write_table(table, output / files[1], overwrite=overwrite)
    made.save(output / files[0], overwrite=overwrite)
    click.echo(
        f"{count(sum(made.scans_per_site_.values()), 'scan')} of "
        f"{count(made.sites_, 'batch', 'batches')}. Send {output / files[0]} to every site "
        f"(isoscan apply)."
    )


@_verb("finish")
@click.argument("study", type=options.EXISTING)
@click.argument("coefficients", type=options.EXISTING)
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@options.output()
@options.cohort
def finish(
    study: Path,
    coefficients: Path,
    measures: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    **rest: Any,
) -> None:
    """At a site, in sums mode: estimate the site's own effects and write model.isoscan.

    COEFFICIENTS came from the centre; MEASURES are those that were summed up.
    """
    from isoscan.errors import count
    from isoscan.federated import finish as make
    from isoscan.federated import read_coefficients, read_study
    from isoscan.harmonizing import require_free

    require_free(output, ("model.isoscan",), overwrite=overwrite)
    agreed = read_study(study)
    common = read_coefficients(coefficients, agreed)
    cohort = _read(agreed, measures, rest)
    model = make(common, cohort.measures, agreed, sites=cohort.sites, covariates=cohort.people)
    output.mkdir(parents=True, exist_ok=True)
    model.save(output / "model.isoscan", overwrite=overwrite)
    click.echo(
        f"Model of {count(model.sites_, 'batch', 'batches')}: {output / 'model.isoscan'} "
        f"(isoscan apply)."
    )


@_verb("simulate")
@click.argument("measures", nargs=-1, required=True, type=options.EXISTING)
@click.option("--location", metavar="COLUMN", help="Column that says where a scan's data lie.")
@click.option(
    "--mode", type=click.Choice(["full", "sums"]), default="full", show_default=True, help="Mode."
)
@_agreed
@options.cohort
def simulate(measures: tuple[Path, ...], location: str | None, mode: Any, **rest: Any) -> None:
    """Run the whole exchange on one table, and compare with the fit of the pooled table."""
    from isoscan.cli.cohort import read_cohort
    from isoscan.federated import agreed_covariates
    from isoscan.federated import simulate as run
    from isoscan.harmonizing import named_in

    own = {key: rest.pop(key) for key in [parameter.name for parameter in _parameters()]}
    smooth = [part for term in own["smooth"] for part in term.split(":")]
    used = list(dict.fromkeys([*named_in(own["preserve"]), *named_in(own["remove"]), *smooth]))
    cohort = read_cohort(measures, needed=used, used=[location] if location else (), **rest)
    known = agreed_covariates(cohort.people, used, _categories(own))
    made = _study("simulation", dict.fromkeys(cohort.features, "unknown"), known, own)
    done = run(
        cohort.measures,
        made,
        sites=cohort.labels,
        covariates=cohort.people,
        locations=cohort.people[location] if location else None,
        mode=mode,
    )
    for place, size in done.messages.items():
        click.echo(f"{place}: sent {size} bytes")
    click.echo(
        f"Largest difference between federated and pooled values: {done.largest:.1e} SD "
        f"({done.differences.idxmax()})."
    )


def _parameters() -> list[Any]:
    """Options that say what is agreed upon."""

    @_agreed
    def nothing() -> None: ...

    return [*nothing.__click_params__]  # type: ignore[attr-defined]


def _categories(own: dict[str, Any]) -> list[str]:
    from isoscan.design.formula import parse_formula, variables_in_categories

    texts = [own[key] for key in ("preserve", "remove") if own[key]]
    return [name for text in texts for name in variables_in_categories(parse_formula(text))]
