"""The wire as msgspec Structs, one file per noun, written once in the shape of the newest revision.

Every public name of the nouns can be imported from here; a noun's module is loaded when one of its names is first asked
for, so a server that never samples never loads sampling. Two modules repeat names on purpose and are imported as
modules: `legacy` (requests as legacy clients send them) and `server_requests` (requests as legacy servers send them).
`base.py` has the conventions all Structs share; `revisions.py` what exists in which revision.

Below: `tybalt.errors` and msgspec. Above: everything else. Nothing here does I/O or knows a transport.
"""

# ruff: isort: skip_file

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.types.adaptation import (
        adapt as adapt,
        encode_for as encode_for,
    )
    from tybalt.types.annotations import (
        Annotations as Annotations,
        Role as Role,
    )
    from tybalt.types.base import (
        Wire as Wire,
    )
    from tybalt.types.cancellation import (
        CancelledNotification as CancelledNotification,
        CancelledNotificationParams as CancelledNotificationParams,
    )
    from tybalt.types.capabilities import (
        ClientCapabilities as ClientCapabilities,
        ElicitationCapability as ElicitationCapability,
        RootsCapability as RootsCapability,
        SamplingCapability as SamplingCapability,
        ServerCapabilities as ServerCapabilities,
    )
    from tybalt.types.completion import (
        CompleteRequest as CompleteRequest,
        CompleteRequestParams as CompleteRequestParams,
        CompleteResult as CompleteResult,
        Completion as Completion,
        CompletionArgument as CompletionArgument,
        CompletionContext as CompletionContext,
        CompletionReference as CompletionReference,
        PromptReference as PromptReference,
        ResourceTemplateReference as ResourceTemplateReference,
    )
    from tybalt.types.content import (
        AudioContent as AudioContent,
        ContentBlock as ContentBlock,
        EmbeddedResource as EmbeddedResource,
        ImageContent as ImageContent,
        ResourceLink as ResourceLink,
        TextContent as TextContent,
    )
    from tybalt.types.discover import (
        DiscoverRequest as DiscoverRequest,
        DiscoverResult as DiscoverResult,
    )
    from tybalt.types.elicitation import (
        BooleanSchema as BooleanSchema,
        ElicitRequest as ElicitRequest,
        ElicitRequestFormParams as ElicitRequestFormParams,
        ElicitRequestParams as ElicitRequestParams,
        ElicitRequestURLParams as ElicitRequestURLParams,
        ElicitResult as ElicitResult,
        ElicitationCompleteNotification as ElicitationCompleteNotification,
        ElicitationCompleteNotificationParams as ElicitationCompleteNotificationParams,
        ElicitedValue as ElicitedValue,
        EnumOption as EnumOption,
        EnumSchema as EnumSchema,
        LegacyTitledEnumSchema as LegacyTitledEnumSchema,
        NumberSchema as NumberSchema,
        PrimitiveSchemaDefinition as PrimitiveSchemaDefinition,
        StringSchema as StringSchema,
        TitledEnumItems as TitledEnumItems,
        TitledMultiSelectEnumSchema as TitledMultiSelectEnumSchema,
        TitledSingleSelectEnumSchema as TitledSingleSelectEnumSchema,
        UntitledEnumItems as UntitledEnumItems,
        UntitledMultiSelectEnumSchema as UntitledMultiSelectEnumSchema,
        UntitledSingleSelectEnumSchema as UntitledSingleSelectEnumSchema,
    )
    from tybalt.types.implementation import (
        Icon as Icon,
        Implementation as Implementation,
    )
    from tybalt.types.initialize import (
        InitializeRequest as InitializeRequest,
        InitializeRequestParams as InitializeRequestParams,
        InitializeResult as InitializeResult,
        InitializedNotification as InitializedNotification,
        LegacyRequestParams as LegacyRequestParams,
        PingRequest as PingRequest,
    )
    from tybalt.types.input_required import (
        ANSWERS as ANSWERS,
        InputRequest as InputRequest,
        InputRequests as InputRequests,
        InputRequiredResult as InputRequiredResult,
        InputResponse as InputResponse,
        InputResponses as InputResponses,
    )
    from tybalt.types.jsonrpc import (
        CacheableResult as CacheableResult,
        Cursor as Cursor,
        EmptyResult as EmptyResult,
        Error as Error,
        InputResponseRequestParams as InputResponseRequestParams,
        JSONRPCErrorResponse as JSONRPCErrorResponse,
        JSONRPCResultResponse as JSONRPCResultResponse,
        Notification as Notification,
        NotificationParams as NotificationParams,
        PaginatedCacheableResult as PaginatedCacheableResult,
        PaginatedRequestParams as PaginatedRequestParams,
        PaginatedResult as PaginatedResult,
        Request as Request,
        RequestId as RequestId,
        RequestParams as RequestParams,
        Result as Result,
    )
    from tybalt.types.logging import (
        LOGGING_LEVELS as LOGGING_LEVELS,
        LoggingMessageNotification as LoggingMessageNotification,
        LoggingMessageNotificationParams as LoggingMessageNotificationParams,
        SetLevelRequest as SetLevelRequest,
        SetLevelRequestParams as SetLevelRequestParams,
    )
    from tybalt.types.meta import (
        BUDGET as BUDGET,
        CLIENT_CAPABILITIES as CLIENT_CAPABILITIES,
        CLIENT_INFO as CLIENT_INFO,
        LOG_LEVEL as LOG_LEVEL,
        CallerBudget as CallerBudget,
        LegacyRequestMeta as LegacyRequestMeta,
        LoggingLevel as LoggingLevel,
        NotificationMeta as NotificationMeta,
        PROTOCOL_VERSION as PROTOCOL_VERSION,
        ProgressToken as ProgressToken,
        RELATED_TASK as RELATED_TASK,
        RequestMeta as RequestMeta,
        ResultMeta as ResultMeta,
        SERVER_INFO as SERVER_INFO,
        SUBSCRIPTION_ID as SUBSCRIPTION_ID,
        decode_meta as decode_meta,
    )
    from tybalt.types.output_schema import (
        is_wrapped as is_wrapped,
    )
    from tybalt.types.progress import (
        ProgressNotification as ProgressNotification,
        ProgressNotificationParams as ProgressNotificationParams,
    )
    from tybalt.types.prompts import (
        GetPromptRequest as GetPromptRequest,
        GetPromptRequestParams as GetPromptRequestParams,
        GetPromptResult as GetPromptResult,
        ListPromptsRequest as ListPromptsRequest,
        ListPromptsResult as ListPromptsResult,
        Prompt as Prompt,
        PromptArgument as PromptArgument,
        PromptListChangedNotification as PromptListChangedNotification,
        PromptMessage as PromptMessage,
    )
    from tybalt.types.resources import (
        BlobResourceContents as BlobResourceContents,
        ListResourceTemplatesRequest as ListResourceTemplatesRequest,
        ListResourceTemplatesResult as ListResourceTemplatesResult,
        ListResourcesRequest as ListResourcesRequest,
        ListResourcesResult as ListResourcesResult,
        ReadResourceRequest as ReadResourceRequest,
        ReadResourceRequestParams as ReadResourceRequestParams,
        ReadResourceResult as ReadResourceResult,
        Resource as Resource,
        ResourceContents as ResourceContents,
        ResourceListChangedNotification as ResourceListChangedNotification,
        ResourceTemplate as ResourceTemplate,
        ResourceUpdatedNotification as ResourceUpdatedNotification,
        ResourceUpdatedNotificationParams as ResourceUpdatedNotificationParams,
        SubscribeRequest as SubscribeRequest,
        SubscribeRequestParams as SubscribeRequestParams,
        TextResourceContents as TextResourceContents,
        UnsubscribeRequest as UnsubscribeRequest,
        UnsubscribeRequestParams as UnsubscribeRequestParams,
    )
    from tybalt.types.revisions import (
        LATEST_LEGACY as LATEST_LEGACY,
        LATEST_MODERN as LATEST_MODERN,
        LEGACY as LEGACY,
        METHODS as METHODS,
        MODERN as MODERN,
        REVISIONS as REVISIONS,
        allows_batches as allows_batches,
        era_of as era_of,
        exists as exists,
        methods_of as methods_of,
        span_of_block as span_of_block,
        span_of_field as span_of_field,
        span_of_method as span_of_method,
    )
    from tybalt.types.roots import (
        ListRootsRequest as ListRootsRequest,
        ListRootsRequestParams as ListRootsRequestParams,
        ListRootsResult as ListRootsResult,
        Root as Root,
        RootsListChangedNotification as RootsListChangedNotification,
    )
    from tybalt.types.sampling import (
        CreateMessageRequest as CreateMessageRequest,
        CreateMessageRequestParams as CreateMessageRequestParams,
        CreateMessageResult as CreateMessageResult,
        ModelHint as ModelHint,
        ModelPreferences as ModelPreferences,
        SamplingMessage as SamplingMessage,
        SamplingMessageContentBlock as SamplingMessageContentBlock,
        ToolChoice as ToolChoice,
        ToolResultContent as ToolResultContent,
        ToolUseContent as ToolUseContent,
    )
    from tybalt.types.subscriptions import (
        SubscriptionFilter as SubscriptionFilter,
        SubscriptionsAcknowledgedNotification as SubscriptionsAcknowledgedNotification,
        SubscriptionsAcknowledgedNotificationParams as SubscriptionsAcknowledgedNotificationParams,
        SubscriptionsListenRequest as SubscriptionsListenRequest,
        SubscriptionsListenRequestParams as SubscriptionsListenRequestParams,
        SubscriptionsListenResult as SubscriptionsListenResult,
    )
    from tybalt.types.tasks import (
        CancelTaskRequest as CancelTaskRequest,
        CancelTaskResult as CancelTaskResult,
        CreateTaskResult as CreateTaskResult,
        GetTaskPayloadRequest as GetTaskPayloadRequest,
        GetTaskRequest as GetTaskRequest,
        GetTaskResult as GetTaskResult,
        ListTasksRequest as ListTasksRequest,
        ListTasksRequestParams as ListTasksRequestParams,
        ListTasksResult as ListTasksResult,
        RelatedTaskMetadata as RelatedTaskMetadata,
        Task as Task,
        TaskMetadata as TaskMetadata,
        TaskRequestParams as TaskRequestParams,
        TaskResult as TaskResult,
        TaskStatus as TaskStatus,
        TaskStatusNotification as TaskStatusNotification,
        TaskStatusNotificationParams as TaskStatusNotificationParams,
    )
    from tybalt.types.tools import (
        CallToolRequest as CallToolRequest,
        CallToolRequestParams as CallToolRequestParams,
        CallToolResult as CallToolResult,
        ListToolsRequest as ListToolsRequest,
        ListToolsResult as ListToolsResult,
        Tool as Tool,
        ToolAnnotations as ToolAnnotations,
        ToolExecution as ToolExecution,
        ToolListChangedNotification as ToolListChangedNotification,
    )

_NAMES = {
    "tybalt.types.adaptation": "adapt encode_for",
    "tybalt.types.annotations": "Annotations Role",
    "tybalt.types.base": "Wire",
    "tybalt.types.cancellation": "CancelledNotification CancelledNotificationParams",
    "tybalt.types.capabilities": (
        "ClientCapabilities ElicitationCapability RootsCapability SamplingCapability ServerCapabilities"
    ),
    "tybalt.types.completion": (
        "CompleteRequest CompleteRequestParams CompleteResult Completion CompletionArgument CompletionContext "
        "CompletionReference PromptReference ResourceTemplateReference"
    ),
    "tybalt.types.content": "AudioContent ContentBlock EmbeddedResource ImageContent ResourceLink TextContent",
    "tybalt.types.discover": "DiscoverRequest DiscoverResult",
    "tybalt.types.elicitation": (
        "BooleanSchema ElicitRequest ElicitRequestFormParams ElicitRequestParams ElicitRequestURLParams "
        "ElicitResult ElicitationCompleteNotification ElicitationCompleteNotificationParams ElicitedValue "
        "EnumOption EnumSchema LegacyTitledEnumSchema NumberSchema PrimitiveSchemaDefinition StringSchema "
        "TitledEnumItems TitledMultiSelectEnumSchema TitledSingleSelectEnumSchema UntitledEnumItems "
        "UntitledMultiSelectEnumSchema UntitledSingleSelectEnumSchema"
    ),
    "tybalt.types.implementation": "Icon Implementation",
    "tybalt.types.initialize": (
        "InitializeRequest InitializeRequestParams InitializeResult InitializedNotification LegacyRequestParams "
        "PingRequest"
    ),
    "tybalt.types.input_required": (
        "ANSWERS InputRequest InputRequests InputRequiredResult InputResponse InputResponses"
    ),
    "tybalt.types.jsonrpc": (
        "CacheableResult Cursor EmptyResult Error InputResponseRequestParams JSONRPCErrorResponse "
        "JSONRPCResultResponse Notification NotificationParams PaginatedCacheableResult PaginatedRequestParams "
        "PaginatedResult Request RequestId RequestParams Result"
    ),
    "tybalt.types.logging": (
        "LOGGING_LEVELS LoggingMessageNotification LoggingMessageNotificationParams SetLevelRequest "
        "SetLevelRequestParams"
    ),
    "tybalt.types.meta": (
        "BUDGET CLIENT_CAPABILITIES CLIENT_INFO CallerBudget LOG_LEVEL LegacyRequestMeta LoggingLevel NotificationMeta "
        "PROTOCOL_VERSION ProgressToken RELATED_TASK RequestMeta ResultMeta SERVER_INFO SUBSCRIPTION_ID "
        "decode_meta"
    ),
    "tybalt.types.output_schema": "is_wrapped",
    "tybalt.types.progress": "ProgressNotification ProgressNotificationParams",
    "tybalt.types.prompts": (
        "GetPromptRequest GetPromptRequestParams GetPromptResult ListPromptsRequest ListPromptsResult Prompt "
        "PromptArgument PromptListChangedNotification PromptMessage"
    ),
    "tybalt.types.resources": (
        "BlobResourceContents ListResourceTemplatesRequest ListResourceTemplatesResult ListResourcesRequest "
        "ListResourcesResult ReadResourceRequest ReadResourceRequestParams ReadResourceResult Resource "
        "ResourceContents ResourceListChangedNotification ResourceTemplate ResourceUpdatedNotification "
        "ResourceUpdatedNotificationParams SubscribeRequest SubscribeRequestParams TextResourceContents "
        "UnsubscribeRequest UnsubscribeRequestParams"
    ),
    "tybalt.types.revisions": (
        "LATEST_LEGACY LATEST_MODERN LEGACY METHODS MODERN REVISIONS allows_batches era_of exists methods_of "
        "span_of_block span_of_field span_of_method"
    ),
    "tybalt.types.roots": "ListRootsRequest ListRootsRequestParams ListRootsResult Root RootsListChangedNotification",
    "tybalt.types.sampling": (
        "CreateMessageRequest CreateMessageRequestParams CreateMessageResult ModelHint ModelPreferences "
        "SamplingMessage SamplingMessageContentBlock ToolChoice ToolResultContent ToolUseContent"
    ),
    "tybalt.types.subscriptions": (
        "SubscriptionFilter SubscriptionsAcknowledgedNotification SubscriptionsAcknowledgedNotificationParams "
        "SubscriptionsListenRequest SubscriptionsListenRequestParams SubscriptionsListenResult"
    ),
    "tybalt.types.tasks": (
        "CancelTaskRequest CancelTaskResult CreateTaskResult GetTaskPayloadRequest GetTaskRequest GetTaskResult "
        "ListTasksRequest ListTasksRequestParams ListTasksResult RelatedTaskMetadata Task TaskMetadata "
        "TaskRequestParams TaskResult TaskStatus TaskStatusNotification TaskStatusNotificationParams"
    ),
    "tybalt.types.tools": (
        "CallToolRequest CallToolRequestParams CallToolResult ListToolsRequest ListToolsResult Tool "
        "ToolAnnotations ToolExecution ToolListChangedNotification"
    ),
}
"""Which names each module gives; the imports above say the same to type checkers, and a test compares them."""

__all__, __getattr__, __dir__ = lazy_names(__name__, _NAMES)
