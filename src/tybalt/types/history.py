"""What each revision of the protocol adds, drops or renames, as data.

A `Span` is the first and the last revision in which something exists, both included. What stands in no table exists in
every revision. Names are those of the wire and of the Structs; no Struct is imported here, so the tables cost nothing.
`revisions.py` answers questions from them, `adaptation.py` brings values into an older shape by them; the tests hold
every row against the published schemas, in both directions.
"""

from typing import Literal, TypeAlias

Span: TypeAlias = tuple[str, str]
Kind: TypeAlias = Literal[
    "client_request", "client_notification", "server_request", "server_notification", "input_request"
]

OLDEST = "2024-11-05"
NEWEST = "2026-07-28"

ALWAYS: Span = (OLDEST, NEWEST)
SINCE_2025_03_26: Span = ("2025-03-26", NEWEST)
SINCE_2025_06_18: Span = ("2025-06-18", NEWEST)
SINCE_2025_11_25: Span = ("2025-11-25", NEWEST)
ONLY_2025_03_26: Span = ("2025-03-26", "2025-03-26")
ONLY_2025_11_25: Span = ("2025-11-25", "2025-11-25")
LEGACY_ONLY: Span = (OLDEST, "2025-11-25")
MODERN_ONLY: Span = (NEWEST, NEWEST)

BATCHES: Span = ONLY_2025_03_26
"""Where a JSON array of messages is a message (2025-03-26 basic/index, "Batching")."""

OBJECT_OUTPUT: Span = ("2025-06-18", "2025-11-25")
"""Where `structuredContent` and the root of `outputSchema` must be objects."""

METHODS: dict[Kind, dict[str, Span]] = {
    "client_request": {
        "server/discover": MODERN_ONLY,
        "initialize": LEGACY_ONLY,
        "ping": LEGACY_ONLY,
        "tools/list": ALWAYS,
        "tools/call": ALWAYS,
        "resources/list": ALWAYS,
        "resources/templates/list": ALWAYS,
        "resources/read": ALWAYS,
        "resources/subscribe": LEGACY_ONLY,
        "resources/unsubscribe": LEGACY_ONLY,
        "subscriptions/listen": MODERN_ONLY,
        "prompts/list": ALWAYS,
        "prompts/get": ALWAYS,
        "completion/complete": ALWAYS,
        "logging/setLevel": LEGACY_ONLY,
        "tasks/get": ONLY_2025_11_25,
        "tasks/result": ONLY_2025_11_25,
        "tasks/list": ONLY_2025_11_25,
        "tasks/cancel": ONLY_2025_11_25,
    },
    "client_notification": {
        "notifications/cancelled": ALWAYS,
        "notifications/progress": LEGACY_ONLY,
        "notifications/initialized": LEGACY_ONLY,
        "notifications/roots/list_changed": LEGACY_ONLY,
        "notifications/tasks/status": ONLY_2025_11_25,
    },
    "server_request": {
        "ping": LEGACY_ONLY,
        "sampling/createMessage": LEGACY_ONLY,
        "roots/list": LEGACY_ONLY,
        "elicitation/create": ("2025-06-18", "2025-11-25"),
        "tasks/get": ONLY_2025_11_25,
        "tasks/result": ONLY_2025_11_25,
        "tasks/list": ONLY_2025_11_25,
        "tasks/cancel": ONLY_2025_11_25,
    },
    "server_notification": {
        "notifications/cancelled": ALWAYS,
        "notifications/progress": ALWAYS,
        "notifications/message": ALWAYS,
        "notifications/resources/updated": ALWAYS,
        "notifications/resources/list_changed": ALWAYS,
        "notifications/tools/list_changed": ALWAYS,
        "notifications/prompts/list_changed": ALWAYS,
        "notifications/subscriptions/acknowledged": MODERN_ONLY,
        "notifications/elicitation/complete": ONLY_2025_11_25,
        "notifications/tasks/status": ONLY_2025_11_25,
    },
    "input_request": {
        "sampling/createMessage": MODERN_ONLY,
        "roots/list": MODERN_ONLY,
        "elicitation/create": MODERN_ONLY,
    },
}
"""Which messages each side may send. An `input_request` travels inside an `InputRequiredResult`, without an id."""

BLOCKS: dict[str, Span] = {
    "audio": SINCE_2025_03_26,
    "resource_link": SINCE_2025_06_18,
    "tool_use": SINCE_2025_11_25,
    "tool_result": SINCE_2025_11_25,
}
"""Content block types, by `type`."""

TYPES: dict[str, Span] = {
    "CancelTaskRequest": ONLY_2025_11_25,
    "CancelTaskResult": ONLY_2025_11_25,
    "CreateTaskResult": ONLY_2025_11_25,
    "DiscoverRequest": MODERN_ONLY,
    "DiscoverResult": MODERN_ONLY,
    "ElicitRequest": SINCE_2025_06_18,
    "ElicitResult": SINCE_2025_06_18,
    "ElicitationCompleteNotification": ONLY_2025_11_25,
    "GetTaskPayloadRequest": ONLY_2025_11_25,
    "GetTaskRequest": ONLY_2025_11_25,
    "GetTaskResult": ONLY_2025_11_25,
    "Icon": SINCE_2025_11_25,
    "InitializeRequest": LEGACY_ONLY,
    "InitializeResult": LEGACY_ONLY,
    "InitializedNotification": LEGACY_ONLY,
    "InputRequiredResult": MODERN_ONLY,
    "LegacyTitledEnumSchema": SINCE_2025_06_18,
    "ListTasksRequest": ONLY_2025_11_25,
    "ListTasksResult": ONLY_2025_11_25,
    "PingRequest": LEGACY_ONLY,
    "RootsListChangedNotification": LEGACY_ONLY,
    "SetLevelRequest": LEGACY_ONLY,
    "SubscribeRequest": LEGACY_ONLY,
    "SubscriptionsAcknowledgedNotification": MODERN_ONLY,
    "SubscriptionsListenRequest": MODERN_ONLY,
    "SubscriptionsListenResult": MODERN_ONLY,
    "Task": ONLY_2025_11_25,
    "TaskStatusNotification": ONLY_2025_11_25,
    "UnsubscribeRequest": LEGACY_ONLY,
}
"""Whole messages and values that some revision cannot say at all. What a field's or a block's row drops or replaces,
needs no row here. `LegacyTitledEnumSchema` is called `EnumSchema` in 2025-06-18."""

FIELDS: dict[str, dict[str, Span]] = {
    "Implementation": {
        "title": SINCE_2025_06_18,
        "description": SINCE_2025_11_25,
        "websiteUrl": SINCE_2025_11_25,
        "icons": SINCE_2025_11_25,
    },
    "Annotations": {"lastModified": SINCE_2025_06_18},
    "ServerCapabilities": {
        "completions": SINCE_2025_03_26,
        "tasks": ONLY_2025_11_25,
        "extensions": MODERN_ONLY,
    },
    "ClientCapabilities": {
        "elicitation": SINCE_2025_06_18,
        "tasks": ONLY_2025_11_25,
        "extensions": MODERN_ONLY,
    },
    "RootsCapability": {"listChanged": LEGACY_ONLY},
    "SamplingCapability": {"context": SINCE_2025_11_25, "tools": SINCE_2025_11_25},
    "ElicitationCapability": {"form": SINCE_2025_11_25, "url": SINCE_2025_11_25},
    "RequestMeta": {
        "io.modelcontextprotocol/protocolVersion": MODERN_ONLY,
        "io.modelcontextprotocol/clientCapabilities": MODERN_ONLY,
        "io.modelcontextprotocol/clientInfo": MODERN_ONLY,
        "io.modelcontextprotocol/logLevel": MODERN_ONLY,
    },
    "InputResponseRequestParams": {"inputResponses": MODERN_ONLY, "requestState": MODERN_ONLY},
    "Result": {"resultType": MODERN_ONLY},
    "CacheableResult": {"ttlMs": MODERN_ONLY, "cacheScope": MODERN_ONLY},
    "PaginatedCacheableResult": {"ttlMs": MODERN_ONLY, "cacheScope": MODERN_ONLY},
    "Tool": {
        "title": SINCE_2025_06_18,
        "outputSchema": SINCE_2025_06_18,
        "annotations": SINCE_2025_03_26,
        "execution": ONLY_2025_11_25,
        "icons": SINCE_2025_11_25,
        "_meta": SINCE_2025_06_18,
    },
    "CallToolRequestParams": {"task": ONLY_2025_11_25},
    "CallToolResult": {"structuredContent": SINCE_2025_06_18},
    "Resource": {"title": SINCE_2025_06_18, "icons": SINCE_2025_11_25, "_meta": SINCE_2025_06_18},
    "ResourceTemplate": {"title": SINCE_2025_06_18, "icons": SINCE_2025_11_25, "_meta": SINCE_2025_06_18},
    "ResourceContents": {"_meta": SINCE_2025_06_18},
    "Prompt": {"title": SINCE_2025_06_18, "icons": SINCE_2025_11_25, "_meta": SINCE_2025_06_18},
    "PromptArgument": {"title": SINCE_2025_06_18},
    "PromptReference": {"title": SINCE_2025_06_18},
    "TextContent": {"_meta": SINCE_2025_06_18},
    "ImageContent": {"_meta": SINCE_2025_06_18},
    "AudioContent": {"_meta": SINCE_2025_06_18},
    "EmbeddedResource": {"_meta": SINCE_2025_06_18},
    "CompleteRequestParams": {"context": SINCE_2025_06_18},
    "ProgressNotificationParams": {"message": SINCE_2025_03_26},
    "SamplingMessage": {"_meta": SINCE_2025_11_25},
    "CreateMessageResult": {"_meta": ALWAYS},
    "CreateMessageRequestParams": {
        "tools": SINCE_2025_11_25,
        "toolChoice": SINCE_2025_11_25,
        "task": ONLY_2025_11_25,
        "_meta": LEGACY_ONLY,
    },
    "ElicitRequestParams": {
        "mode": SINCE_2025_11_25,
        "url": SINCE_2025_11_25,
        "elicitationId": ONLY_2025_11_25,
        "task": ONLY_2025_11_25,
        "_meta": LEGACY_ONLY,
    },
    "ElicitResult": {"_meta": LEGACY_ONLY},
    "StringSchema": {"default": SINCE_2025_11_25},
    "NumberSchema": {"default": SINCE_2025_11_25},
    "LegacyTitledEnumSchema": {"default": SINCE_2025_11_25},
    "Root": {"_meta": SINCE_2025_06_18},
    "ListRootsResult": {"_meta": LEGACY_ONLY},
}
"""Members of objects, by Struct and name on the wire; a Struct without a row for a member takes its base's."""

MODERN_DEFAULTS: dict[str, dict[str, str | int]] = {
    "Result": {"resultType": "complete"},
    "CacheableResult": {"ttlMs": 0, "cacheScope": "private"},
    "PaginatedCacheableResult": {"ttlMs": 0, "cacheScope": "private"},
}
"""Members that 2026-07-28 requires and that mean nothing when nobody set them: complete, and not to be kept."""


def within(span: Span, revision: str) -> bool:
    """Whether `revision` lies in `span`; revisions are dates, so their text sorts as they do."""
    return span[0] <= revision <= span[1]
