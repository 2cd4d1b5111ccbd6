"""The client: `Client` and what goes with it. The names here are those that a program needs beside it."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.client.address import Address as Address
    from tybalt.client.cache import Cache as Cache
    from tybalt.client.client import Client as Client
    from tybalt.client.http.auth import Auth as Auth
    from tybalt.client.http.auth import Flow as Flow
    from tybalt.client.http.auth import Incoming as Incoming
    from tybalt.client.http.auth import Outgoing as Outgoing
    from tybalt.client.listening import Change as Change
    from tybalt.client.listening import Changes as Changes
    from tybalt.client.listening import ListChanged as ListChanged
    from tybalt.client.listening import Missed as Missed
    from tybalt.client.listening import ResourceUpdated as ResourceUpdated
    from tybalt.client.restarting import Restart as Restart
    from tybalt.client.results import CallResult as CallResult
    from tybalt.client.sync import SyncClient as SyncClient

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.client.address": "Address",
        "tybalt.client.cache": "Cache",
        "tybalt.client.client": "Client",
        "tybalt.client.http.auth": "Auth Flow Incoming Outgoing",
        "tybalt.client.listening": "Change Changes ListChanged Missed ResourceUpdated",
        "tybalt.client.restarting": "Restart",
        "tybalt.client.results": "CallResult",
        "tybalt.client.sync": "SyncClient",
    },
)
