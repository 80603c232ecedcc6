"""Build the benchmark's own virtual environment and run `benchmark.py` in it.

    python benchmarks/run.py [PART ...] [--quick] [--rounds N] [--page]

The environment stands in `benchmarks/.venv`, apart from isoscan's own, because
neuroHarmonize needs numpy 1. Arguments are those of `benchmark.py`.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"


def install() -> None:
    """Install isoscan from this checkout beside the pinned packages it is compared with."""
    if not PYTHON.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(HERE.parent)], check=True)


def main() -> int:
    """Install, then measure."""
    install()
    return subprocess.call([str(PYTHON), str(HERE / "benchmark.py"), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
