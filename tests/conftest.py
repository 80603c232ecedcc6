"""Settings shared by all tests."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "isoscan",
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("isoscan")
