"""Elicitation: what a server asks the user of a client, as a form or by sending them to a URL.

In 2026-07-28 the question travels inside an `InputRequiredResult` and has no id; in legacy it is a request of its own
(`server_requests.py`). 2026-07-28 client/elicitation; 2025-11-25 client/elicitation.

`ElicitRequestParams` is one Struct for both modes, because an absent `mode` means form and msgspec tells Structs apart
only by a tag that is there. `ElicitRequestFormParams` and `ElicitRequestURLParams` are its two exact forms, for those
who build one.

`requested_schema` is a plain dict, like every JSON Schema here. The schema Structs below are the building blocks it may
be made of, nothing more: flat objects of primitives.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from tybalt.types.base import Wire
from tybalt.types.jsonrpc import Notification
from tybalt.types.meta import NotificationMeta


class ElicitRequestParams(Wire, frozen=True, kw_only=True):
    """A question. Form mode (also when `mode` is absent) has `requested_schema`, URL mode has `url`.

    `elicitation_id`, `task` and `meta` exist in legacy only; there URL mode requires `elicitation_id`. Raises
    `ValueError` when the member its mode needs is missing.
    """

    mode: Literal["form", "url"] | None = None
    message: str
    requested_schema: dict[str, Any] | None = None
    url: str | None = None
    elicitation_id: str | None = None
    task: dict[str, Any] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)

    def __post_init__(self) -> None:
        if self.mode == "url":
            if self.url is None:
                raise ValueError("an elicitation in URL mode needs `url`")
        elif self.requested_schema is None:
            raise ValueError("an elicitation in form mode needs `requestedSchema`")


class ElicitRequestFormParams(ElicitRequestParams, frozen=True, kw_only=True):
    """A question answered by filling in a form; `mode` may be absent, and must be before 2025-11-25."""

    mode: Literal["form"] | None = None
    requested_schema: dict[str, Any]  # pyright: ignore[reportGeneralTypeIssues]


class ElicitRequestURLParams(ElicitRequestParams, frozen=True, kw_only=True):
    """A question answered elsewhere, at `url`; from 2025-11-25 on."""

    mode: Literal["url"]  # pyright: ignore[reportGeneralTypeIssues]
    url: str  # pyright: ignore[reportGeneralTypeIssues]


class ElicitRequest(Wire, tag_field="method", tag="elicitation/create", frozen=True, kw_only=True):
    """Asks the user, from within an `InputRequiredResult`."""

    params: ElicitRequestParams


ElicitedValue: TypeAlias = str | int | float | bool | list[str]


class ElicitResult(Wire, frozen=True, kw_only=True):
    """The user's answer; `content` is there when they accepted a form. `meta` exists in legacy only."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, ElicitedValue] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ElicitationCompleteNotificationParams(Wire, gc=False, frozen=True, kw_only=True):
    """Which elicitation in URL mode is over."""

    elicitation_id: str
    meta: NotificationMeta | None = msgspec.field(name="_meta", default=None)


class ElicitationCompleteNotification(
    Notification, tag_field="method", tag="notifications/elicitation/complete", gc=False, frozen=True, kw_only=True
):
    """The user has finished at the URL they were sent to; exists in 2025-11-25 only."""

    params: ElicitationCompleteNotificationParams


class StringSchema(Wire, tag_field="type", tag="string", gc=False, frozen=True, kw_only=True):
    """A text field."""

    title: str | None = None
    description: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    format: Literal["email", "uri", "date", "date-time"] | None = None
    default: str | None = None


class NumberSchema(Wire, gc=False, frozen=True, kw_only=True):
    """A number field."""

    type: Literal["number", "integer"]
    title: str | None = None
    description: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    default: int | float | None = None


class BooleanSchema(Wire, tag_field="type", tag="boolean", gc=False, frozen=True, kw_only=True):
    """A check box."""

    title: str | None = None
    description: str | None = None
    default: bool | None = None


class EnumOption(Wire, gc=False, frozen=True, kw_only=True):
    """One choice: the value that is sent, and the title that is shown."""

    const: str
    title: str


class UntitledSingleSelectEnumSchema(Wire, tag_field="type", tag="string", gc=False, frozen=True, kw_only=True):
    """One of several values, shown as they are."""

    title: str | None = None
    description: str | None = None
    enum: list[str]
    default: str | None = None


class TitledSingleSelectEnumSchema(Wire, tag_field="type", tag="string", gc=False, frozen=True, kw_only=True):
    """One of several values, each with a title; from 2025-11-25 on."""

    title: str | None = None
    description: str | None = None
    one_of: list[EnumOption]
    default: str | None = None


class UntitledEnumItems(Wire, tag_field="type", tag="string", gc=False, frozen=True, kw_only=True):
    """The values of an `UntitledMultiSelectEnumSchema`."""

    enum: list[str]


class TitledEnumItems(Wire, gc=False, frozen=True, kw_only=True):
    """The values of a `TitledMultiSelectEnumSchema`."""

    any_of: list[EnumOption]


class UntitledMultiSelectEnumSchema(Wire, tag_field="type", tag="array", gc=False, frozen=True, kw_only=True):
    """Any of several values, shown as they are; from 2025-11-25 on."""

    title: str | None = None
    description: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    items: UntitledEnumItems
    default: list[str] | None = None


class TitledMultiSelectEnumSchema(Wire, tag_field="type", tag="array", gc=False, frozen=True, kw_only=True):
    """Any of several values, each with a title; from 2025-11-25 on."""

    title: str | None = None
    description: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    items: TitledEnumItems
    default: list[str] | None = None


class LegacyTitledEnumSchema(Wire, tag_field="type", tag="string", gc=False, frozen=True, kw_only=True):
    """One of several values with titles beside them, as 2025-06-18 had it; superseded by `oneOf`."""

    title: str | None = None
    description: str | None = None
    enum: list[str]
    enum_names: list[str] | None = None
    default: str | None = None


EnumSchema: TypeAlias = (
    UntitledSingleSelectEnumSchema
    | TitledSingleSelectEnumSchema
    | UntitledMultiSelectEnumSchema
    | TitledMultiSelectEnumSchema
    | LegacyTitledEnumSchema
)
PrimitiveSchemaDefinition: TypeAlias = StringSchema | NumberSchema | BooleanSchema | EnumSchema
