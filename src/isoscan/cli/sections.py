"""Options listed under headings, so that a long help can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class SectionedOption(click.Option):
    """An option that knows under which heading it is listed."""

    def __init__(self, *args: Any, section: str = "Options", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists options under their headings, in order of appearance."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list per heading."""
        lists: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = getattr(parameter, "section", "Options")
                lists.setdefault(heading, []).append(record)
        for heading, records in lists.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def under(section: str) -> Callable[..., Callable[[Any], Any]]:
    """Make `click.option` list what it declares under a heading."""

    def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
        return click.option(*names, cls=SectionedOption, section=section, **settings)

    return option
