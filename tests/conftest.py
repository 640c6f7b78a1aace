"""One hypothesis profile for all: no deadlines, since the machine may be shared and slow."""

import os

from hypothesis import HealthCheck, settings

# Torch's threads must not spin while others want the cores; see train/__init__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile(
    "tuneserve",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tuneserve")
