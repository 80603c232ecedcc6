"""Help is instant and importing costs next to nothing."""

import subprocess
import sys
import time

HELP = "from isoscan.cli.main import main; main(['--help'])"
IMPORT = "import time; t = time.perf_counter(); import isoscan; print(time.perf_counter() - t)"


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def seconds(code):
    start = time.perf_counter()
    run(code)
    return time.perf_counter() - start


def test_help_takes_at_most_0_3_seconds():
    assert min(seconds(HELP) for _ in range(5)) <= 0.3


def test_importing_the_package_takes_at_most_0_1_seconds():
    assert min(float(run(IMPORT).stdout) for _ in range(5)) <= 0.1


def test_help_loads_no_heavy_package():
    loaded = run(f"{HELP[:-18]}\nimport sys; print([*sys.modules])").stdout
    assert not {"'numpy'", "'pandas'", "'sklearn'", "'scipy'"} & set(
        loaded.strip("[]\n").split(", ")
    )
