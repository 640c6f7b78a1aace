"""One hypothesis profile for all: no deadlines, since the machine may be shared and slow."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tuneserve",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tuneserve")
