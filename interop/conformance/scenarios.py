"""What the suite has for servers, by the revision whose wire it is spoken over; all but tasks and skills, extensions.

The names are written down here so that each is a test of its own, and a new version of the suite that has more is
noticed: `test_conformance.py` compares these lists with the suite's.
"""

from __future__ import annotations

SESSIONS = ("server-session-lifecycle",)

HANDSHAKE = (
    "server-initialize",
    "logging-set-level",
    "ping",
    "tools-call-with-logging",
    "tools-call-sampling",
    "tools-call-elicitation",
    "resources-subscribe",
    "resources-unsubscribe",
)

COMMON = (
    "completion-complete",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-error",
    "tools-call-with-progress",
    "resources-list",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
)

SINCE_2025_11_25 = ("json-schema-2020-12", "server-sse-multiple-streams", "dns-rebinding-protection")

ONLY_2025_11_25 = ("server-sse-polling", "elicitation-sep1034-defaults", "elicitation-sep1330-enums")

MODERN = (
    "server-stateless",
    "sep-2164-resource-not-found",
    "caching",
    "http-header-validation",
    "http-custom-header-server-validation",
    "input-required-result-basic-elicitation",
    "input-required-result-basic-sampling",
    "input-required-result-basic-list-roots",
    "input-required-result-request-state",
    "input-required-result-multiple-input-requests",
    "input-required-result-multi-round",
    "input-required-result-missing-input-response",
    "input-required-result-non-tool-request",
    "input-required-result-result-type",
    "input-required-result-unsupported-methods",
    "input-required-result-tampered-state",
    "input-required-result-capability-check",
    "input-required-result-ignore-extra-params",
    "input-required-result-validate-input",
)

SCENARIOS = {
    "2025-03-26": SESSIONS,
    "2025-06-18": SESSIONS + HANDSHAKE + COMMON,
    "2025-11-25": SESSIONS + HANDSHAKE + COMMON + SINCE_2025_11_25 + ONLY_2025_11_25,
    "2026-07-28": COMMON + SINCE_2025_11_25 + MODERN,
}
"""By revision."""

REQUIRED = {"2025-11-25": 30, "2026-07-28": 37}
"""How many of them the suite requires of a server that claims this revision."""

EXCEPTIONS: dict[str, str] = {}
"""Scenarios that are not passed, and the words of the specification by which that is right. There are none."""
