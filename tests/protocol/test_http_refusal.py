"""A refusal as a response: JSON-RPC where the protocol speaks of one, the plain body elsewhere."""

from datetime import UTC, datetime

import msgspec
import pytest

from tybalt.errors import Forbidden, HeaderMismatch
from tybalt.protocol.http_refusal import Refusal, plain

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def test_an_error_of_the_protocol():
    response = Refusal(400, HeaderMismatch("no"), "modern", 7).response(NOW)
    assert response.status == 400
    assert response.body == b'{"jsonrpc":"2.0","id":7,"error":{"code":-32020,"message":"no"}}'
    assert Refusal(403, Forbidden("no"), "legacy").response(NOW).body == (
        b'{"jsonrpc":"2.0","error":{"code":403,"message":"no"}}'
    )


@pytest.mark.parametrize("status", [400, 405, 406, 413, 415])
def test_an_error_of_http_alone(status):
    refusal = plain(status, "because", (b"allow", b"POST"))
    response = refusal.response(NOW)
    headers = dict(response.headers)
    assert response.status == refusal.status == status
    assert msgspec.json.decode(response.body) == {
        "error": "because",
        "status": status,
        "timestamp": "2026-01-31T09:30:00Z",
    }
    assert headers[b"allow"] == b"POST" and headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(response.body) and headers[b"cache-control"] == b"no-store"
    assert len(headers) == len(response.headers)
