"""Image, Audio and File: media types, base64, bounds."""

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.server.media import MAX_MEDIA_BYTES, Audio, File, Image, is_textual, sniff
from tybalt.types.annotations import Annotations
from tybalt.types.content import AudioContent, EmbeddedResource, ImageContent
from tybalt.types.resources import ResourceContents

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8


def test_an_image_from_bytes() -> None:
    annotations = Annotations(priority=1)
    image = Image(PNG, annotations=annotations, meta={"a": 1})
    block = image.block()
    assert block == ImageContent(
        data=base64.b64encode(PNG).decode(), mime_type="image/png", annotations=annotations, meta={"a": 1}
    )
    assert image.block().data is block.data  # base64 is computed once
    assert msgspec.json.decode(msgspec.json.encode(block))["mimeType"] == "image/png"


@pytest.mark.parametrize(
    ("kind", "options", "mime_type"),
    [
        (Image, {"format": "png"}, "image/png"),
        (Image, {"format": "JPG"}, "image/jpeg"),
        (Image, {"format": ".svg"}, "image/svg+xml"),
        (Image, {"format": "image/x-own"}, "image/x-own"),
        (Image, {"format": "qoi"}, "image/qoi"),
        (Image, {"mime_type": "image/webp", "format": "png"}, "image/webp"),
        (Audio, {"format": "mp3"}, "audio/mpeg"),
        (Audio, {"format": "wav"}, "audio/wav"),
        (Audio, {"format": "speex"}, "audio/speex"),
        (File, {"format": "pdf"}, "application/pdf"),
        (File, {"format": "md"}, "text/markdown"),
        (File, {"format": "x-own"}, "application/x-own"),
    ],
)
def test_the_media_type_is_what_the_author_says(kind: type, options: dict[str, str], mime_type: str) -> None:
    assert kind(b"?", **options).mime_type == mime_type


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM\x00", "image/bmp"),
        (b"II*\x00", "image/tiff"),
        (b"MM\x00*", "image/tiff"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
        (b"\x00\x00\x00\x20ftypheic", "image/heic"),
        (b"  <svg xmlns=", "image/svg+xml"),
        (b"\x00\x00\x01\x00", "image/x-icon"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf1\x50", "audio/aac"),
        (b"\xff\xf9\x50", "audio/aac"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"FORM", "audio/aiff"),
        (b"\x1aE\xdf\xa3", "audio/webm"),
        (b"%PDF-1.7", "application/pdf"),
        (b"", None),
        (b"\xff", None),
        (b"\xff\x00", None),
        (b"RIFF", None),
        (b"hello", None),
    ],
)
def test_the_first_bytes_tell_the_type(head: bytes, mime_type: str | None) -> None:
    assert sniff(head) == mime_type


@given(st.binary(max_size=32))
def test_sniffing_never_fails(data: bytes) -> None:
    found = sniff(data)
    assert found is None or "/" in found


def test_an_image_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "chart.jpg"
    path.write_bytes(PNG)
    assert Image(path=path).mime_type == "image/png"  # the bytes know better than the name
    path.write_bytes(b"?")
    assert Image(path=str(path)).mime_type == "image/jpeg"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Image(path=path)


@pytest.mark.parametrize(("kind", "data"), [(Image, b"?"), (Audio, b"?"), (Image, b"OggS"), (Audio, PNG)])
def test_a_type_that_cannot_be_told_is_an_error(kind: type, data: bytes) -> None:
    with pytest.raises(ValueError, match=f'{kind.__name__}: its bytes and its name .*Pass format="..." or mime_type'):
        kind(data)


def test_sound() -> None:
    block = Audio(b"OggS").block()
    assert block == AudioContent(data="T2dnUw==", mime_type="audio/ogg")


@pytest.mark.parametrize("kind", [Image, Audio, File])
def test_size_is_bounded(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"a" * 11)
    for source in ({"data": b"a" * 11}, {"path": path}, {"data": bytearray(11)}):
        with pytest.raises(ValueError, match=r"larger than 10 bytes\. Send a resource link, or raise max_bytes"):
            kind(**source, format="png", max_bytes=10)
    assert len(kind(path=path, format="png", max_bytes=11).data) == 11
    if Path("/dev/zero").exists():
        with pytest.raises(ValueError, match="larger than 10 bytes"):
            kind(path="/dev/zero", format="png", max_bytes=10)
    with pytest.raises(ValueError, match=f"larger than {MAX_MEDIA_BYTES:,} bytes"):
        kind(b"a" * (MAX_MEDIA_BYTES + 1), format="png")


def test_exactly_one_source() -> None:
    for options in ({}, {"data": b"a", "path": "b"}):
        with pytest.raises(TypeError, match="either data or path"):
            Image(**options)
    with pytest.raises(TypeError, match="data must be bytes, got str"):
        Image("aGVsbG8=")  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"OggS", bytearray(b"OggS"), memoryview(b"OggS")])
def test_bytes_in_any_form(data: bytes) -> None:
    assert Audio(data).data == b"OggS"


def test_a_text_file() -> None:
    file = File("hé", name="notes ü.md")
    assert file.block() == EmbeddedResource(
        resource=ResourceContents(uri="file:///notes%20%C3%BC.md", mime_type="text/markdown", text="hé")
    )
    assert File("a").block().resource == ResourceContents(uri="file:///file", mime_type="text/plain", text="a")
    assert File('{"a":1}', format="json").block().resource.text == '{"a":1}'
    assert File("a\ud800").block().resource.text == "a\ufffd"


def test_a_binary_file() -> None:
    assert File(b"\xff\x00\x01", uri="data:x").block().resource == ResourceContents(
        uri="data:x", mime_type="application/octet-stream", blob="/wAB"
    )
    assert File(b"%PDF-1.7", name="a").block().resource.mime_type == "application/pdf"
    assert File(b"\xff", format="txt").block().resource.blob == "/w=="
    assert File(b"a\x00b", format="txt").block().resource.blob is not None


def test_a_file_from_a_path_tells_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "report.csv"
    path.parent.mkdir()
    path.write_text("a,b")
    contents = File(path=path).block().resource
    assert contents == ResourceContents(uri="file:///report.csv", mime_type="text/csv", text="a,b")
    assert File(path=path, name="other.txt").uri == "file:///other.txt"


def test_media_are_contents_of_resources_too() -> None:
    assert Image(PNG).contents("a:b") == ResourceContents(
        uri="a:b", mime_type="image/png", blob=base64.b64encode(PNG).decode()
    )
    assert File("x", format="md").contents("a:b").text == "x"


@pytest.mark.parametrize(
    ("mime_type", "textual"),
    [
        ("text/plain", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("image/svg+xml", True),
        ("application/pdf", False),
        ("image/png", False),
    ],
)
def test_textual_types(mime_type: str, textual: bool) -> None:
    assert is_textual(mime_type) is textual
