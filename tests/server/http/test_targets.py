"""The targets of requests (RFC 9112 section 3.2)."""

import pytest

from tybalt.server.http.targets import path_scope, split_absolute


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (b"http://a.example/mcp", (b"a.example", b"/mcp")),
        (b"http://a.example:80/mcp?x=1", (b"a.example:80", b"/mcp?x=1")),
        (b"http://[::1]:80/", (b"[::1]:80", b"/")),
        (b"http://user@a.example", (b"a.example", b"/")),
        (b"*", None),
        (b"a.example:443", None),
        (b"", None),
    ],
)
def test_absolute_ones(url: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert split_absolute(url) == found


def test_paths() -> None:
    assert path_scope(b"/a%20b?x=%20", "/under") == {
        "root_path": "/under",
        "path": "/under/a b",
        "raw_path": b"/under/a%20b",
        "query_string": b"x=%20",
    }
    assert path_scope(b"/\xc3\xa4", "") is None
