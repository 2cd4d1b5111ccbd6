"""Input required: the result that is a question, and the answers that come back with the retry.

Modern only; legacy asks with requests of its own (`server_requests.py`). 2026-07-28 basic/patterns/mrtr.
"""

from typing import TypeAlias

import msgspec

from tybalt.types.base import Wire
from tybalt.types.elicitation import ElicitRequest, ElicitResult
from tybalt.types.meta import ResultMeta
from tybalt.types.roots import ListRootsRequest, ListRootsResult
from tybalt.types.sampling import CreateMessageRequest, CreateMessageResult

InputRequest: TypeAlias = CreateMessageRequest | ListRootsRequest | ElicitRequest
"""One question; tagged by `method`, without an id."""

InputRequests: TypeAlias = dict[str, InputRequest]
"""Questions by key; the answers come back under the same keys."""

InputResponse: TypeAlias = CreateMessageResult | ListRootsResult | ElicitResult
"""One answer. The wire does not tag it: only the one who asked knows which it is, so no decoder takes this union."""

InputResponses: TypeAlias = dict[str, msgspec.Raw]
"""Answers by key, each to be decoded as what was asked for."""

ANSWERS: dict[type[InputRequest], type[InputResponse]] = {
    CreateMessageRequest: CreateMessageResult,
    ListRootsRequest: ListRootsResult,
    ElicitRequest: ElicitResult,
}
"""What answers what."""


class InputRequiredResult(Wire, tag_field="resultType", tag="input_required", frozen=True, kw_only=True):
    """The server needs answers, or only a retry with `request_state`; at least one of the two is there.

    Its `resultType` is its tag, so it is never absent. Raises `ValueError` when it has neither requests nor state
    (2026-07-28 basic/patterns/mrtr, server requirement 5).
    """

    input_requests: InputRequests | None = None
    request_state: str | None = None
    meta: ResultMeta | None = msgspec.field(name="_meta", default=None)

    def __post_init__(self) -> None:
        if self.input_requests is None and self.request_state is None:
            raise ValueError("a result that requires input needs `inputRequests` or `requestState`, neither is there")

    @property
    def result_type(self) -> str:
        """`input_required`."""
        return "input_required"
