"""Who wants to hear of changes on one connection: `subscriptions/listen` in modern, `resources/subscribe` in legacy.

A modern subscription is a request that stays open: acknowledged first, every notification tagged with its id
(2026-07-28 basic/patterns/subscriptions). A legacy client hears of list changes without asking, once it is ready, and
of resource updates for the URIs it subscribed to. This module keeps who asked for what; it encodes the modern form and
knows no transport. What may be kept is bounded, for the client decides how much it asks for.
"""

from typing import Any, Final, Literal

from tybalt.errors import InvalidParams
from tybalt.protocol.answers import Answers, RequestId
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.meta import SUBSCRIPTION_ID
from tybalt.types.subscriptions import SubscriptionFilter

ListName = Literal["tools", "prompts", "resources"]

MAX_SUBSCRIPTIONS: Final = 64
"""Open `subscriptions/listen` requests a connection may have."""
MAX_URIS: Final = 1_000
"""Resource URIs one subscription, or one legacy connection, may watch."""

_LISTS: Final[tuple[ListName, ...]] = ("tools", "prompts", "resources")


class Subscriptions:
    """The open modern subscriptions of one connection, in the order they were opened."""

    def __init__(self) -> None:
        self._open: list[tuple[RequestId, dict[str, Any]]] = []

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self, request_id: RequestId, wanted: SubscriptionFilter, offered: ServerCapabilities, answers: Answers
    ) -> bytes:
        """Keep a subscription and return its acknowledgment, which names what of `wanted` is honoured.

        Raises `InvalidParams` when the connection, or the filter, asks for more than is kept.
        """
        if len(self._open) >= MAX_SUBSCRIPTIONS:
            raise InvalidParams(f"{MAX_SUBSCRIPTIONS} subscriptions are open on this connection; cancel one first")
        uris = wanted.resource_subscriptions or []
        if len(uris) > MAX_URIS:
            raise InvalidParams(f"a subscription may watch {MAX_URIS} resources, got {len(uris)}; open several")
        honoured = _honoured(wanted, offered)
        self._open.append((request_id, honoured))
        return _tagged(answers, "notifications/subscriptions/acknowledged", request_id, {"notifications": honoured})

    def cancel(self, request_id: RequestId) -> bool:
        """Forget the subscriptions with this id, silently; False where there is none."""
        before = len(self._open)
        self._open = [entry for entry in self._open if not _same(entry[0], request_id)]
        return len(self._open) < before

    def list_changed(self, name: ListName, answers: Answers) -> list[bytes]:
        """A `list_changed` notification for each subscription that wants it."""
        key = f"{name}ListChanged"
        method = f"notifications/{name}/list_changed"
        return [_tagged(answers, method, ident, {}) for ident, honoured in self._open if honoured.get(key)]

    def resource_updated(self, uri: str, answers: Answers) -> list[bytes]:
        """An `updated` notification for each subscription that watches `uri`."""
        return [
            _tagged(answers, "notifications/resources/updated", ident, {"uri": uri})
            for ident, honoured in self._open
            if uri in honoured.get("resourceSubscriptions", ())
        ]

    def end(self, answers: Answers, *, is_shared: bool = True) -> list[bytes]:
        """End every subscription from our side: for each its result, then `notifications/cancelled`.

        The result says that the end is graceful (basic/patterns/subscriptions, "Graceful Closure"); the cancelled
        notification is required by basic/patterns/cancellation. The two clauses disagree; both are honoured on
        shared channels. On a stream of its own the result is the last message (basic/transports/streamable-http).
        """
        messages: list[bytes] = []
        for ident, _ in self._open:
            messages.append(answers.result(ident, {"_meta": {SUBSCRIPTION_ID: ident}}))
            if is_shared:
                messages.append(answers.notification("notifications/cancelled", {"requestId": ident}))
        self._open.clear()
        return messages


def offers(capabilities: ServerCapabilities, name: ListName, feature: str) -> bool:
    """Whether a server declares `feature` (`listChanged`, `subscribe`) of one of its lists."""
    declared: dict[str, Any] | None = getattr(capabilities, name)
    return declared is not None and bool(declared.get(feature))


def _honoured(wanted: SubscriptionFilter, offered: ServerCapabilities) -> dict[str, Any]:
    honoured: dict[str, Any] = {}
    for name in _LISTS:
        if getattr(wanted, f"{name}_list_changed") and offers(offered, name, "listChanged"):
            honoured[f"{name}ListChanged"] = True
    if wanted.resource_subscriptions and offers(offered, "resources", "subscribe"):
        honoured["resourceSubscriptions"] = wanted.resource_subscriptions
    return honoured


def _tagged(answers: Answers, method: str, request_id: RequestId, params: dict[str, Any]) -> bytes:
    return answers.notification(method, {"_meta": {SUBSCRIPTION_ID: request_id}, **params})


def _same(left: RequestId, right: RequestId) -> bool:
    return type(left) is type(right) and left == right
