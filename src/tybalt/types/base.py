"""The base of every wire Struct: one set of options, so that all nouns read and write alike.

Everything under `tybalt.types` is the wire written once, in the shape of the newest revision (2026-07-28). What
exists only in an older revision is written in its newest older shape. What each revision adds, drops or renames is
a table (`revisions.py`), never a second family of classes. This module knows no noun of the protocol.

Conventions that hold for every Struct derived from `Wire`:

- attributes are `snake_case`, keys on the wire `camelCase`; the key `_meta` is the attribute `meta`;
- an optional member is `X | None = None` and vanishes from the wire when it is None; an incoming explicit `null` is
  accepted and means absent. Where `null` is a value of its own (`structuredContent`, an error's `data`) the member is
  `Any` with the default `msgspec.UNSET`;
- unknown members are ignored on the way in, except inside `meta`, which is a plain dict and keeps them;
- values are frozen and keyword-only. every class says it again, because msgspec does not
  inherit `kw_only` and type checkers do not inherit `frozen`.
"""

import msgspec


class Wire(msgspec.Struct, rename="camel", omit_defaults=True, repr_omit_defaults=True, frozen=True, kw_only=True):
    """The common base: camelCase on the wire, defaults omitted, keyword-only, frozen."""
