"""Time limits in seconds, whichever unit the host means."""

from datetime import timedelta

import pytest

from tybalt.client.config.config import MCPConfig
from tybalt.client.config.error import ConfigError


def entry(**body):
    return MCPConfig.of({"mcpServers": {"a": body}}).servers["a"]


@pytest.mark.parametrize(
    ("body", "timeout"),
    [
        ({}, None),
        ({"timeout": None}, None),
        ({"timeout": 30}, 30.0),
        ({"timeout": 0.5}, 0.5),
        ({"timeout": 999}, 999.0),
        # Claude Code, and Gemini CLI without other marks.
        ({"timeout": 1_000}, 1.0),
        ({"timeout": 600_000}, 600.0),
        ({"timeout": "90s"}, 90.0),
        ({"timeout": "1h30m"}, 5_400.0),
        # Gemini CLI.
        ({"timeout": 500, "trust": False}, 0.5),
        ({"timeout": 500, "includeTools": []}, 0.5),
        # Cline and Roo Code.
        ({"timeout": 3_600, "autoApprove": []}, 3_600.0),
        ({"timeout": 3_600, "alwaysAllow": []}, 3_600.0),
        ({"timeout": 3_600, "transportType": "stdio"}, 3_600.0),
        # opencode.
        ({"timeout": 800, "type": "local"}, 0.8),
        ({"timeout": 800, "environment": {}}, 0.8),
        ({"timeout": {"request": 800}}, 0.8),
        # Codex.
        ({"tool_timeout_sec": 1_200}, 1_200.0),
        ({"timeoutMs": 20}, 0.02),
        ({"timeout": 86_400_000}, 86_400.0),
    ],
)
def test_the_limit_of_a_request(body, timeout):
    assert entry(command="x", **body).timeout == pytest.approx(timeout)
    assert entry(command="x", **body).startup_timeout is None


def test_a_url_of_gemini_and_of_goose():
    assert entry(httpUrl="http://h", timeout=500).timeout == 0.5
    assert entry(uri="http://h", timeout=1_200).timeout == 1_200


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        ({"startup_timeout_sec": 2.5}, (None, 2.5)),
        ({"startup_timeout_sec": 1_500}, (None, 1_500.0)),
        ({"startup_timeout_ms": 1_500}, (None, 1.5)),
        ({"startup_timeout_sec": 10, "tool_timeout_sec": 60}, (60.0, 10.0)),
        ({"timeout": {"startup": 5_000, "request": 7_000}}, (7.0, 5.0)),
        ({"timeout": {"request": 7_000}, "startup_timeout_sec": 3}, (7.0, 3.0)),
        ({"timeout": {}}, (None, None)),
    ],
)
def test_the_limit_of_the_start(body, limits):
    made = entry(command="x", **body)
    assert (made.timeout, made.startup_timeout) == limits


POSITIVE = "expected a number above 0, or a text such as '30s', '500ms' or '1h30m'"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"timeout": 0}, f"timeout: {POSITIVE}"),
        ({"timeout": -1}, f"timeout: {POSITIVE}"),
        ({"timeout": float("nan")}, f"timeout: {POSITIVE}"),
        ({"timeout": float("inf")}, f"timeout: {POSITIVE}"),
        ({"timeout": 10**400}, f"timeout: {POSITIVE}"),
        ({"timeout": "30"}, f"timeout: {POSITIVE}"),
        ({"timeout": "soon"}, f"timeout: {POSITIVE}"),
        ({"startup_timeout_sec": 0}, f"startup_timeout_sec: {POSITIVE}"),
        ({"timeout": True}, "timeout: expected a number or a text such as '30s', got true or false"),
        ({"timeout": [1]}, "timeout: expected a number or a text such as '30s', got a list"),
        ({"timeout": timedelta(1)}, "timeout: expected a number or a text such as '30s', got a timedelta"),
        ({"timeout": {"request": "x"}}, f"timeout.request: {POSITIVE}"),
        ({"timeout": "2d"}, "timeout: expected a day (86,400 seconds) at most; write the unit, as in '30s'"),
        ({"timeoutMs": 10**9}, "timeoutMs: expected a day (86,400 seconds) at most; write the unit, as in '30s'"),
        ({"timeout": 1, "timeoutMs": 2}, "'timeout' and 'timeoutMs' say the same thing; leave one of them out"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_key(body, told):
    with pytest.raises(ConfigError) as caught:
        entry(command="x", **body)
    assert str(caught.value).removeprefix("mcpServers.a").lstrip(".: ") == told
