"""What every test has: asynchronous tests, a watch for leaks, and property tests that give the same answer twice.

The hooks live in tests/asynchronous.py and tests/leaks.py and are taken in by name, here and in interop/conftest.py.
"""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.asynchronous import loop_name, pytest_generate_tests, pytest_pyfunc_call, run
from tests.leaks import nothing_left_behind, pytest_runtest_call

__all__ = [
    "loop_name",
    "nothing_left_behind",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_runtest_call",
    "run",
]

# No deadline and no complaint about slowness: machines are shared, and tests assert no wall-clock time. No `explain`
# phase: it makes a failure take minutes, and the smallest example says most.
settings.register_profile(
    "dev",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("dev"), print_blob=True)
# New ground: `pytest --hypothesis-profile=search`. What it finds becomes an @example.
settings.register_profile("search", settings.get_profile("dev"), derandomize=False, max_examples=5_000)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse the name of a test that is different in every process: it could not be shared out, nor run by name."""
    unstable = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]+", item.nodeid)]
    if unstable:
        raise pytest.UsageError(
            "give these parameters ids of their own, without an address in them:\n" + "\n".join(unstable)
        )
