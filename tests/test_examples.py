"""The examples, run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its cancel is not heard there before the end")


@pytest.fixture(scope="module")
def demo() -> str:
    """What `make demo` prints, from end to end: it launches examples/everything.py and examples/headlines.py."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_speaks_to_a_real_server_in_both_eras(demo: str) -> None:
    modern, legacy = demo.partition("== http")[0].split("== legacy")
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


def test_the_demo_shows_a_call_a_stream_and_a_subscription_over_http(demo: str) -> None:
    said = demo.partition("== http")[2]
    place = 0
    for expected in (
        "a server at http://127.0.0.1:",
        "a call, count_words: 200 application/json\n   -> 4\n",
        "a stream, print_edition: 200 text/event-stream\n   progress: copy 1\n",
        "   progress: copy 3\n   -> printed 3\n",
        "a session of 2025-11-25, sealed in its id\n   count_words -> 2\n",
        "a subscription to news://latest: 200 text/event-stream\n   first it is acknowledged\n",
        "   it tells: news://latest was updated\n",
        "the subscription ends with its result: True\n",
        "the server ends with status 0\n",
    ):
        place = said.find(expected, place)
        assert place >= 0, said
