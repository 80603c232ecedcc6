"""How the pages are built. Nothing is fetched from the network."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")

from sphinx_gallery.sorting import FileNameSortKey

import isoscan

project = "isoscan"
author = "The isoscan developers"
release = isoscan.__version__.split("+")[0]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery/*.ipynb", "gallery/*.zip"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the gallery's sort key is a class

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says the types in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # that page loads scripts from elsewhere
    "remove_config_comments": True,
    "show_signature": False,
}
warnings.filterwarnings("ignore", message=".*non-interactive.*")

html_theme = "pydata_sphinx_theme"
html_title = "isoscan"
html_theme_options = {
    "logo": {"text": "isoscan"},
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 5,
}
html_sidebars = {"*": []}  # only the gallery and the reference have pages below
html_show_sourcelink = False
smartquotes = False  # options keep their two hyphens
copyright = "The isoscan developers"


def without_absent_pages(app: Any, name: str, content: list[str]) -> None:
    """Leave benchmarks out of the table of contents until there are some."""
    if name == "index" and not (Path(app.srcdir) / "benchmarks.md").exists():
        content[0] = content[0].replace("\nbenchmarks\n", "\n")


def escape_asterisks(app: Any, context: Any, lines: list[str]) -> None:
    """Keep patterns such as *_thickness in help texts from being read as emphasis."""
    lines[:] = [re.sub(r"(?<!\*)\*(?!\*)", r"\\*", line) for line in lines]


def setup(app: Any) -> None:
    """Connect both."""
    app.connect("source-read", without_absent_pages)
    app.connect("sphinx-click-process-options", escape_asterisks)
