"""Subscriptions: one long request that carries the news a client asked for. 2026-07-28 basic/patterns/subscriptions.

Modern only. Legacy has `resources/subscribe` (`resources.py`) and unasked list_changed notifications.
"""

from tybalt.types.base import Wire
from tybalt.types.jsonrpc import Notification, NotificationParams, Request, RequestParams, Result


class SubscriptionFilter(Wire, gc=False, frozen=True, kw_only=True):
    """Which news: three lists, and resources by URI. What is absent or false is not wanted, or not granted."""

    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] | None = None


class SubscriptionsListenRequestParams(RequestParams, gc=False, frozen=True, kw_only=True):
    """What the client wants to hear about."""

    notifications: SubscriptionFilter


class SubscriptionsListenRequest(
    Request, tag_field="method", tag="subscriptions/listen", gc=False, frozen=True, kw_only=True
):
    """Opens a subscription; its id is this request's id, its end is this request's result."""

    params: SubscriptionsListenRequestParams


class SubscriptionsListenResult(Result, frozen=True, kw_only=True):
    """The end of a subscription; `_meta` holds its id under `meta.SUBSCRIPTION_ID`."""


class SubscriptionsAcknowledgedNotificationParams(NotificationParams, gc=False, frozen=True, kw_only=True):
    """What the server will tell, at most what was asked for; `_meta` holds the subscription's id."""

    notifications: SubscriptionFilter


class SubscriptionsAcknowledgedNotification(
    Notification,
    tag_field="method",
    tag="notifications/subscriptions/acknowledged",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The first message of a subscription."""

    params: SubscriptionsAcknowledgedNotificationParams
