"""What a server says of itself: identity, capabilities, instructions, the revisions it serves; encoded once.

One frozen `Profile` is shared by all connections of a server and replaced when what the server offers changes. The
answers to `server/discover` and `initialize` are made from it, each encoded once per revision.
"""

from collections.abc import Iterable
from typing import Any

from tybalt.errors import MisuseError
from tybalt.protocol.answers import Answers, encode
from tybalt.types.adaptation import adapt
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import LEGACY, MODERN, REVISIONS


class Profile:
    """A server's identity and offer.

    `revisions` defaults to all; naming fewer switches an era or a revision off. `ttl_ms` and `cache_scope` are the
    caching hints of the discover answer (2026-07-28 server/utilities/caching). Raises `MisuseError` for a revision
    that does not exist, an empty choice, or hints that mean nothing.
    """

    def __init__(
        self,
        implementation: Implementation,
        capabilities: ServerCapabilities,
        *,
        instructions: str | None = None,
        revisions: Iterable[str] = REVISIONS,
        ttl_ms: int = 0,
        cache_scope: str = "public",
    ) -> None:
        chosen = set(revisions)
        if unknown := sorted(chosen - set(REVISIONS)):
            raise MisuseError(f"no such protocol revision: {', '.join(unknown)}. There are {', '.join(REVISIONS)}")
        if not chosen:
            raise MisuseError("a server must serve at least one protocol revision; leave `revisions` out for all")
        if ttl_ms < 0 or cache_scope not in ("public", "private"):
            text = f"ttl_ms is 0 or more and cache_scope 'public' or 'private', got {ttl_ms!r} and {cache_scope!r}"
            raise MisuseError(text)
        self.implementation = implementation
        self.capabilities = capabilities
        self.instructions = instructions
        self.revisions = tuple(revision for revision in REVISIONS if revision in chosen)
        self.modern = tuple(revision for revision in MODERN if revision in chosen)
        self.legacy = tuple(revision for revision in LEGACY if revision in chosen)
        self._discover = {
            "supportedVersions": list(self.modern),
            "capabilities": adapt(capabilities, MODERN[-1]),
            **({"instructions": instructions} if instructions else {}),
            "ttlMs": ttl_ms,
            "cacheScope": cache_scope,
        }
        self.tables: dict[Any, dict[type, Any]] = {}
        """What connections do by themselves, by the state they are in; kept by them."""
        self._answers: dict[str, Answers] = {}
        self._encoded: dict[str, bytes] = {}

    def answers(self, revision: str) -> Answers:
        """The answer pieces for `revision`, made on first use."""
        if (found := self._answers.get(revision)) is None:
            found = self._answers[revision] = Answers(revision, self.implementation)
        return found

    def discover_result(self) -> bytes:
        """The fields of the result of `server/discover`, as `Answers.encoded` wants them."""
        if (found := self._encoded.get("discover")) is None:
            found = self._encoded["discover"] = encode(self._discover)[1:-1]
        return found

    def initialize_result(self, revision: str) -> bytes:
        """The fields of the result of `initialize` in the negotiated legacy `revision`."""
        if (found := self._encoded.get(revision)) is None:
            result: dict[str, Any] = {
                "protocolVersion": revision,
                "capabilities": adapt(self.capabilities, revision),
                "serverInfo": adapt(self.implementation, revision),
            }
            if self.instructions:
                result["instructions"] = self.instructions
            found = self._encoded[revision] = encode(result)[1:-1]
        return found

    def negotiate(self, requested: str) -> str:
        """The legacy revision `initialize` is answered with: the requested one if served, else the newest served."""
        return requested if requested in self.legacy else self.legacy[-1]
