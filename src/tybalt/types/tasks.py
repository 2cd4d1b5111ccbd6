"""Tasks as 2025-11-25 has them: requests that are answered later. Experimental there, gone from 2026-07-28's core.

Either side may run a request as a task for the other, so every request here goes both ways.
2025-11-25 basic/utilities/tasks.
"""

from typing import ClassVar, Literal, TypeAlias

from tybalt.errors import Era
from tybalt.types.base import Wire
from tybalt.types.initialize import LegacyRequestParams
from tybalt.types.jsonrpc import Cursor, Notification, NotificationParams, PaginatedResult, Request, Result

TaskStatus: TypeAlias = Literal["working", "input_required", "completed", "failed", "cancelled"]


class TaskMetadata(Wire, gc=False, frozen=True, kw_only=True):
    """`task` in the params of a request: run it as a task, kept for `ttl` milliseconds."""

    ttl: int | None = None


class RelatedTaskMetadata(Wire, gc=False, frozen=True, kw_only=True):
    """The value of `_meta[meta.RELATED_TASK]`: which task a message belongs to."""

    task_id: str


class Task(Wire, gc=False, frozen=True, kw_only=True):
    """One task; times are ISO 8601, `ttl` and `poll_interval` milliseconds, a `ttl` of None is unlimited and sent."""

    task_id: str
    status: TaskStatus
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl: int | None
    poll_interval: int | None = None


class CreateTaskResult(Result, frozen=True, kw_only=True):
    """The request runs as this task."""

    task: Task


class TaskRequestParams(LegacyRequestParams, gc=False, frozen=True, kw_only=True):
    """Which task."""

    task_id: str


class GetTaskRequest(Request, tag_field="method", tag="tasks/get", gc=False, frozen=True, kw_only=True):
    """Asks how a task is doing."""

    era: ClassVar[Era] = "legacy"
    params: TaskRequestParams


class GetTaskPayloadRequest(Request, tag_field="method", tag="tasks/result", gc=False, frozen=True, kw_only=True):
    """Waits for the result of a task; the answer is the result of the request it runs."""

    era: ClassVar[Era] = "legacy"
    params: TaskRequestParams


class CancelTaskRequest(Request, tag_field="method", tag="tasks/cancel", gc=False, frozen=True, kw_only=True):
    """Cancels a task."""

    era: ClassVar[Era] = "legacy"
    params: TaskRequestParams


class ListTasksRequestParams(LegacyRequestParams, gc=False, frozen=True, kw_only=True):
    """Which page."""

    cursor: Cursor | None = None


class ListTasksRequest(Request, tag_field="method", tag="tasks/list", gc=False, frozen=True, kw_only=True):
    """Asks for one page of tasks."""

    era: ClassVar[Era] = "legacy"
    params: ListTasksRequestParams | None = None


class TaskResult(Result, frozen=True, kw_only=True):
    """A task as a result: a `Task` with what every result may have."""

    task_id: str
    status: TaskStatus
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl: int | None
    poll_interval: int | None = None


class GetTaskResult(TaskResult, frozen=True, kw_only=True):
    """How the task is doing."""


class CancelTaskResult(TaskResult, frozen=True, kw_only=True):
    """The task after it was cancelled."""


class ListTasksResult(PaginatedResult, frozen=True, kw_only=True):
    """One page of tasks."""

    tasks: list[Task]


class TaskStatusNotificationParams(NotificationParams, gc=False, frozen=True, kw_only=True):
    """A task as the params of a notification."""

    task_id: str
    status: TaskStatus
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl: int | None
    poll_interval: int | None = None


class TaskStatusNotification(
    Notification, tag_field="method", tag="notifications/tasks/status", gc=False, frozen=True, kw_only=True
):
    """A task has another status now."""

    params: TaskStatusNotificationParams
