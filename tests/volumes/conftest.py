import sys

import pytest
from many_sites import Study, make_study
from preloaded import Preloaded


@pytest.fixture(scope="session")
def study() -> Study:
    """Three sites, 43 maps, 392 voxels in the mask."""
    return make_study()


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory):
    """Runs in processes that can be killed, without waiting for imports."""
    if sys.platform == "win32":
        pytest.skip("processes are forked, and killed by signals")
    server = Preloaded(tmp_path_factory.mktemp("preloaded") / "log")
    yield server
    server.stop()
