"""Say what a measurement ran on."""

from __future__ import annotations

import platform
from typing import Any

from comparison import count_cores


def describe_machine() -> dict[str, str]:
    """Name Python, processors and system."""
    return {
        "python": platform.python_version(),
        "machine": f"{count_cores()} processors ({platform.machine()}, {platform.system()})",
    }


def write_versions(facts: dict[str, Any]) -> str:
    """Say in one line of Markdown what ran on what."""
    listed = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    turns = f"{facts['rounds']} process{'es' * (facts['rounds'] > 1)} of each"
    return f"*{listed}, Python {facts['python']}, {facts['machine']}; {turns}.*\n"
