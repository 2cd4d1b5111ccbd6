"""The revisions of the protocol, the two eras, and what exists in which: questions to the tables of `history.py`.

*Modern* is 2026-07-28: no handshake, every request says its revision. *Legacy* is everything before, with
`initialize`. `adapt` and `encode_for` bring a value written in the newest shape into the shape of one revision; they
live in `adaptation.py`.
"""

from tybalt.errors import Era
from tybalt.types.adaptation import adapt, encode_for
from tybalt.types.history import BATCHES, BLOCKS, FIELDS, METHODS, Kind, Span, within

__all__ = [
    "LATEST_LEGACY",
    "LATEST_MODERN",
    "LEGACY",
    "METHODS",
    "MODERN",
    "REVISIONS",
    "Kind",
    "Span",
    "adapt",
    "allows_batches",
    "encode_for",
    "era_of",
    "exists",
    "methods_of",
    "span_of_block",
    "span_of_field",
    "span_of_method",
]

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = ("2026-07-28",)
REVISIONS = LEGACY + MODERN
LATEST_LEGACY = LEGACY[-1]
LATEST_MODERN = MODERN[-1]


def era_of(revision: str) -> Era:
    """The era a revision belongs to. Raises `ValueError` for a revision nobody published."""
    if revision in MODERN:
        return "modern"
    if revision in LEGACY:
        return "legacy"
    raise ValueError(f"{revision!r} is no revision of the protocol; there are {', '.join(REVISIONS)}")


def exists(method: str, revision: str, kind: Kind = "client_request") -> bool:
    """Whether messages of `kind` called `method` exist in `revision`; False for a method or revision nobody knows."""
    span = METHODS[kind].get(method)
    return span is not None and revision in REVISIONS and within(span, revision)


def methods_of(revision: str, kind: Kind = "client_request") -> frozenset[str]:
    """Every method of `kind` in `revision`. Raises `ValueError` for a revision nobody published."""
    era_of(revision)
    return frozenset(method for method, span in METHODS[kind].items() if within(span, revision))


def span_of_method(method: str, kind: Kind = "client_request") -> Span | None:
    """The first and last revision with this method, or None when no revision has it."""
    return METHODS[kind].get(method)


def span_of_field(type_name: str, field: str) -> Span:
    """The first and last revision in which the wire object has the member, such as `("Tool", "outputSchema")`.

    A capability is a member of `ClientCapabilities` or `ServerCapabilities`. What the tables do not list is taken to
    exist always; names are not checked.
    """
    return FIELDS.get(type_name, {}).get(field, (REVISIONS[0], REVISIONS[-1]))


def span_of_block(block_type: str) -> Span:
    """The first and last revision with content blocks of this `type`; what the tables do not list exists always."""
    return BLOCKS.get(block_type, (REVISIONS[0], REVISIONS[-1]))


def allows_batches(revision: str) -> bool:
    """Whether a JSON array of messages is a message in `revision`."""
    return within(BATCHES, revision)
