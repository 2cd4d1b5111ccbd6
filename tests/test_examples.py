"""The examples, run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform == "win32", reason="its cancel is not heard there before the end")
def test_the_demo_speaks_to_a_real_server_in_both_eras() -> None:
    """It launches examples/everything.py, so this is the way of a newcomer from end to end."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    modern, legacy = done.stdout.split("== legacy")
    for said, revision in ((modern, "2026-07-28"), (legacy, "2025-11-25")):
        for expected in (
            f"connected to everything in revision {revision}",
            "tools:     add, weather, divide, crash, count, pixel, order",
            "add(a=5, b=3)             -> 8",
            "{'city': 'Verona', 'degrees': 21.5, 'sky': 'clear'}",
            "progress 3 of 3: step 3",
            "the server asks: How many of tea? -> 2",
            "the server asks: Order 2 of tea? -> True",
            "order(item='tea')         -> Ordered 2 of tea.",
            "tool error: Cannot divide by zero; choose another b.",
            "protocol error -32602: Unknown tool: subtract",
            "the server stopped; it still answers: 2",
        ):
            assert expected in said
