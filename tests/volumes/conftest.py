import pytest
from many_sites import Study, make_study


@pytest.fixture(scope="session")
def study() -> Study:
    """Three sites, 37 maps, 392 voxels in the mask."""
    return make_study()
