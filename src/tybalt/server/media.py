"""Pictures, sounds and files as handlers return them: `Image`, `Audio`, `File`, from bytes or from a path.

Each becomes one content block; base64 is computed once. A path is read when the object is made, in the handler, where
an `OSError` can still be handled. The media type is taken from what the author says, else from the first bytes, else
from the extension, by small tables of our own: the `mimetypes` of the system differ from one machine to the next.

2026-07-28 server/tools, "Image Content", "Audio Content", "Embedded Resources".
"""

import os
from binascii import b2a_base64
from functools import cached_property
from typing import Any, TypeGuard

from tybalt.server.encoding import valid
from tybalt.types.annotations import Annotations
from tybalt.types.content import AudioContent, EmbeddedResource, ImageContent
from tybalt.types.resources import ResourceContents

MAX_MEDIA_BYTES = 16 * 1024 * 1024
"""How large one `Image`, `Audio` or `File` may be unless it says otherwise: as base64 it is a third larger, and every
copy of the message holds it. Many clients read no message above 4 MiB."""

Data = bytes | bytearray | memoryview
Path = str | os.PathLike[str]


class Media:
    """Bytes with a media type; the common part of `Image`, `Audio` and `File`.

    Exactly one of `data` and `path` is given. `format` is short for a media type of the same family (`"png"`),
    `mime_type` the whole. Raises `ValueError` for more than `max_bytes` and for a type that cannot be told, `TypeError`
    for data that is not bytes, and `OSError` where the path cannot be read.
    """

    family = "application"

    def __init__(
        self,
        data: Data | None = None,
        *,
        path: Path | None = None,
        format: str | None = None,
        mime_type: str | None = None,
        annotations: Annotations | None = None,
        meta: dict[str, Any] | None = None,
        max_bytes: int = MAX_MEDIA_BYTES,
    ) -> None:
        self.data = _read(type(self).__name__, data, path, max_bytes)
        self.path: str | None = None if path is None else os.fspath(path)
        self.mime_type = mime_type or self._named(format) or self._guessed()
        self.annotations = annotations
        self.meta = meta

    @cached_property
    def base64(self) -> str:
        """The data in base64, computed once."""
        return b2a_base64(self.data, newline=False).decode("ascii")

    def contents(self, uri: str) -> ResourceContents:
        """The same as the contents of the resource `uri`."""
        return ResourceContents(uri=uri, mime_type=self.mime_type, blob=self.base64, meta=self.meta)

    def _named(self, format: str | None) -> str | None:
        if format is None or "/" in format:
            return format
        extension = format.lower().removeprefix(".")
        return _EXTENSIONS.get(extension, f"{self.family}/{extension}")

    def _guessed(self) -> str:
        found = sniff(self.data) or _EXTENSIONS.get(_extension(self.path))
        if found is None or not found.startswith(f"{self.family}/"):
            raise ValueError(
                f"{type(self).__name__}: its bytes and its name do not tell what kind of {self.family} it is"
                f'{f", they say {found}" if found else ""}. Pass format="..." or mime_type="..."'
            )
        return found


class Image(Media):
    """A picture: `Image(png_bytes)`, `Image(path="chart.png")`, `Image(data, format="jpeg")`."""

    family = "image"

    def block(self) -> ImageContent:
        """The content block."""
        return ImageContent(data=self.base64, mime_type=self.mime_type, annotations=self.annotations, meta=self.meta)


class Audio(Media):
    """A sound: `Audio(wav_bytes)`, `Audio(path="voice.mp3")`, `Audio(data, format="wav")`."""

    family = "audio"

    def block(self) -> AudioContent:
        """The content block."""
        return AudioContent(data=self.base64, mime_type=self.mime_type, annotations=self.annotations, meta=self.meta)


class File(Media):
    """A file, as an embedded resource: text where it is UTF-8 text of a textual type, else base64.

    `data` may be a `str`. `uri` names it; by default it is `file:///` and `name`, which is the last part of `path`, so
    that no folder of the server is told. A type that cannot be told is `text/plain` or `application/octet-stream`.
    """

    def __init__(
        self,
        data: Data | str | None = None,
        *,
        path: Path | None = None,
        name: str | None = None,
        uri: str | None = None,
        format: str | None = None,
        mime_type: str | None = None,
        annotations: Annotations | None = None,
        meta: dict[str, Any] | None = None,
        max_bytes: int = MAX_MEDIA_BYTES,
    ) -> None:
        said = valid(data).encode() if isinstance(data, str) else data
        self.name: str = name or (os.path.basename(os.fspath(path)) if path is not None else "file")
        super().__init__(
            said,
            path=path,
            format=format,
            mime_type=mime_type,
            annotations=annotations,
            meta=meta,
            max_bytes=max_bytes,
        )
        self.uri = uri or f"file:///{_quoted(self.name)}"

    def block(self) -> EmbeddedResource:
        """The content block."""
        return EmbeddedResource(resource=self.contents(self.uri), annotations=self.annotations)

    def contents(self, uri: str) -> ResourceContents:
        """The same as the contents of the resource `uri`."""
        if is_textual(self.mime_type) and (text := _text(self.data)) is not None:
            return ResourceContents(uri=uri, mime_type=self.mime_type, text=text, meta=self.meta)
        return super().contents(uri)

    def _guessed(self) -> str:
        known = sniff(self.data) or _EXTENSIONS.get(_extension(self.path)) or _EXTENSIONS.get(_extension(self.name))
        return known or ("text/plain" if _text(self.data) is not None else "application/octet-stream")


def sniff(data: bytes) -> str | None:
    """The media type the first bytes tell, or None. Known are the common pictures, sounds, PDF and archives."""
    for offset, magic, mime_type in _MAGIC:
        if data.startswith(magic, offset):
            return mime_type
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12].rstrip())
    if data[:1] == b"\xff" and len(data) > 1:
        return "audio/aac" if data[1] & 0xF6 == 0xF0 else "audio/mpeg" if data[1] & 0xE0 == 0xE0 else None
    return "image/svg+xml" if data.lstrip()[:4] == b"<svg" else None


def is_binary(value: Any) -> TypeGuard[Data]:
    """Whether a value is bytes, in any of their three forms."""
    return isinstance(value, bytes | bytearray | memoryview)


def is_textual(mime_type: str) -> bool:
    """Whether a media type is text for a reader: `text/*`, JSON, XML and their like."""
    essence = mime_type.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence.endswith(("+json", "+xml", "+yaml")) or essence in _TEXTUAL


_TEXTUAL = frozenset({
    "application/json", "application/xml", "application/yaml", "application/toml", "application/javascript",
    "application/sql", "application/x-ndjson", "application/graphql",
})  # fmt: skip

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"FORM", "audio/aiff"),
    (0, b"\x1aE\xdf\xa3", "audio/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x1f\x8b", "application/gzip"),
)
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A": "audio/mp4",
    b"M4B": "audio/mp4",
}
_EXTENSIONS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "avif": "image/avif",
    "heic": "image/heic",
    "ico": "image/x-icon",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "weba": "audio/webm",
    "txt": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "py": "text/x-python",
    "js": "text/javascript",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "sql": "application/sql",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gz": "application/gzip",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


def _read(what: str, data: Data | None, path: Path | None, max_bytes: int) -> bytes:
    if (data is None) == (path is None):
        raise TypeError(f"{what} takes either data or path=..., exactly one of them")
    if path is not None:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    elif not is_binary(data):
        raise TypeError(f"{what}: data must be bytes, got {type(data).__name__}. Base64 text goes into a content block")
    if len(data) > max_bytes:
        raise ValueError(f"{what} is larger than {max_bytes:,} bytes. Send a resource link, or raise max_bytes")
    return bytes(data)


def _extension(path: str | None) -> str:
    return os.path.splitext(path or "")[1].lower().removeprefix(".")


def _text(data: bytes) -> str | None:
    """The data as text; None where it is not UTF-8 or holds a NUL."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _quoted(name: str) -> str:
    """A file name as one segment of a URI (RFC 3986 section 2.3)."""
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in b"-._~" else f"%{byte:02X}"
        for byte in valid(name).encode()
    )
