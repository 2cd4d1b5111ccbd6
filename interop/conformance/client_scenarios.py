"""What the suite has for clients, by the revision whose wire it is spoken over.

The names are written down here so that each is a test of its own, and a new version of the suite that has more is
noticed: `test_conformance_client.py` compares these lists with the suite's.
"""

from __future__ import annotations

SCENARIOS = {
    "2025-06-18": ("initialize", "tools_call"),
    "2025-11-25": (
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
        "json-schema-2020-12-preservation",
    ),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ),
}
"""By revision; 2025-03-26 has none but two of authorization."""

_TOKEN_ENDPOINT = (
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
)
_SINCE_2025_11_25 = (
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/pre-registration",
)

AUTHORIZATION = {
    "2025-03-26": ("auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"),
    "2025-06-18": _TOKEN_ENDPOINT,
    "2025-11-25": _TOKEN_ENDPOINT + _SINCE_2025_11_25,
    "2026-07-28": (
        *_TOKEN_ENDPOINT,
        *_SINCE_2025_11_25,
        "auth/resource-mismatch",
        "auth/offline-access-scope",
        "auth/offline-access-not-supported",
        "auth/authorization-server-migration",
        "auth/iss-supported",
        "auth/iss-not-advertised",
        "auth/iss-supported-missing",
        "auth/iss-wrong-issuer",
        "auth/iss-unexpected",
        "auth/iss-normalized",
        "auth/metadata-issuer-mismatch",
    ),
}
"""By revision, those that are not run yet: they come with the client's OAuth flows."""

EXTENSIONS = (
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/enterprise-managed-authorization",
    "auth/dpop",
    "auth/dpop-nonce",
    "auth/wif-jwt-bearer",
    "sep-2640-client-no-prefetch",
    "sep-2640-client-verify-digest",
    "sep-2640-client-verify-size",
    "sep-2640-client-verify-frontmatter",
)
"""Of no revision, and not run: extensions."""

MAY_SKIP = {
    "http-standard-headers": ("ClientMcpMethodHeader_initialize", "ClientMcpMethodHeader_notifications_initialized"),
}
"""Checks that the suite skips in a scenario that is passed: of two messages that 2026-07-28 does not have."""
