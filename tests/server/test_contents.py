"""What resources return, as contents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.server.contents import resource_contents
from tybalt.server.media import File, Image
from tybalt.types.resources import BlobResourceContents, ReadResourceResult, ResourceContents

PNG = b"\x89PNG\r\n\x1a\n"
URI = "data://x"


@dataclass
class Point:
    x: int
    where: Path


def contents(mime_type: str | None = None, **members: Any) -> ResourceContents:
    return ResourceContents(uri=URI, mime_type=mime_type, **members)


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        ("hi", None, contents("text/plain", text="hi")),
        ("# hi", "text/markdown", contents("text/markdown", text="# hi")),
        ("", None, contents("text/plain", text="")),
        ("a\ud800", None, contents("text/plain", text="a\ufffd")),
        (b"ab", None, contents("application/octet-stream", blob="YWI=")),
        (bytearray(b"ab"), "image/png", contents("image/png", blob="YWI=")),
        (memoryview(b"ab"), None, contents("application/octet-stream", blob="YWI=")),
        ({"a": [1, None]}, None, contents("application/json", text='{"a":[1,null]}')),
        ([1, 2], "application/x-own", contents("application/x-own", text="[1,2]")),
        ([], None, contents("application/json", text="[]")),
        (Point(1, Path("/a")), None, contents("application/json", text='{"x":1,"where":"/a"}')),
        (5, None, contents("application/json", text="5")),
        (Image(PNG), None, contents("image/png", blob="iVBORw0KGgo=")),
        (File("x", format="md"), None, contents("text/markdown", text="x")),
    ],
)
def test_contents(value: Any, declared: str | None, expected: ResourceContents) -> None:
    assert resource_contents(value, uri=URI, mime_type=declared) == [expected]


def test_finished_contents_pass_through() -> None:
    one = ResourceContents(uri="other:1", text="a")
    two = BlobResourceContents(uri="other:2", blob="YWI=")
    assert resource_contents(one, uri=URI, mime_type="text/html") == [one]
    assert resource_contents([one, two], uri=URI, mime_type=None) == [one, two]
    assert resource_contents((one, Image(PNG)), uri=URI, mime_type=None)[1].uri == URI
    assert resource_contents(ReadResourceResult(contents=[two]), uri=URI, mime_type=None) == [two]
    cleaned = resource_contents(ResourceContents(uri="a:b", text="\ud800"), uri=URI, mime_type=None)
    assert cleaned == [ResourceContents(uri="a:b", text="\ufffd")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, r"the resource data://x returned None\. .*raise ResourceNotFound\(uri\)"),
        (object(), "the resource data://x returned a value of type object: .* has no JSON form"),
        ({"a": float("nan")}, "NaN"),
        ([ResourceContents(uri="a:b", text="a"), object()], "has no JSON form"),
    ],
)
def test_what_is_no_contents(value: Any, words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        resource_contents(value, uri=URI, mime_type=None)
