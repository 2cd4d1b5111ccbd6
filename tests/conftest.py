"""What every test has: asynchronous tests, a watch for leaks, and property tests that give the same answer twice.

The hooks live in tests/asynchronous.py and tests/leaks.py and are taken in by name, here and in interop/conftest.py.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.asynchronous import loop_name, pytest_generate_tests, pytest_pyfunc_call, run
from tests.leaks import nothing_left_behind, pytest_runtest_call

__all__ = [
    "loop_name",
    "nothing_left_behind",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_runtest_call",
    "run",
]

# No deadline and no complaint about slowness: machines are shared, and tests assert no wall-clock time.
settings.register_profile(
    "dev", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("dev"), print_blob=True)
# New ground: `pytest --hypothesis-profile=search`. What it finds becomes an @example.
settings.register_profile("search", settings.get_profile("dev"), derandomize=False, max_examples=5_000)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
