"""Tybalt: a framework for the Model Context Protocol, in every revision, at the speed of its parser.

The names below are what most programs need. They are loaded on first use, so that a client does not load a server.
Wire types are in `tybalt.types`, the sans-I/O core in `tybalt.protocol`, transports in `tybalt.transports`.
"""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tybalt.client.address import Address as Address
    from tybalt.client.client import Client as Client
    from tybalt.client.group import ClientGroup as ClientGroup
    from tybalt.client.members import ServersMissing as ServersMissing
    from tybalt.client.members import ServerUnavailable as ServerUnavailable
    from tybalt.errors import BackendError as BackendError
    from tybalt.errors import ConnectionLost as ConnectionLost
    from tybalt.errors import Forbidden as Forbidden
    from tybalt.errors import InternalError as InternalError
    from tybalt.errors import InvalidParams as InvalidParams
    from tybalt.errors import McpError as McpError
    from tybalt.errors import MethodNotFound as MethodNotFound
    from tybalt.errors import MissingClientCapability as MissingClientCapability
    from tybalt.errors import MisuseError as MisuseError
    from tybalt.errors import NotFound as NotFound
    from tybalt.errors import Overloaded as Overloaded
    from tybalt.errors import RateLimited as RateLimited
    from tybalt.errors import RegistrationError as RegistrationError
    from tybalt.errors import RequestLost as RequestLost
    from tybalt.errors import RequestTimeout as RequestTimeout
    from tybalt.errors import ResourceNotFound as ResourceNotFound
    from tybalt.errors import TimedOut as TimedOut
    from tybalt.errors import ToolError as ToolError
    from tybalt.errors import TransportClosed as TransportClosed
    from tybalt.errors import TransportError as TransportError
    from tybalt.errors import TybaltError as TybaltError
    from tybalt.errors import Unauthorized as Unauthorized
    from tybalt.errors import UnexpectedResult as UnexpectedResult
    from tybalt.errors import UnsupportedRevision as UnsupportedRevision
    from tybalt.errors import ValidationError as ValidationError
    from tybalt.execution.budgets import Budget as Budget
    from tybalt.execution.tokens import checkpoint as checkpoint
    from tybalt.execution.tokens import masked as masked
    from tybalt.protocol.elicited import Accepted as Accepted
    from tybalt.protocol.elicited import Declined as Declined
    from tybalt.protocol.elicited import Dismissed as Dismissed
    from tybalt.reasons import Interrupted as Interrupted
    from tybalt.server.context import Context as Context
    from tybalt.server.decorators import prompt as prompt
    from tybalt.server.decorators import resource as resource
    from tybalt.server.decorators import tool as tool
    from tybalt.server.dependencies import Depends as Depends
    from tybalt.server.input_required import InputRequired as InputRequired
    from tybalt.server.media import Audio as Audio
    from tybalt.server.media import File as File
    from tybalt.server.media import Image as Image
    from tybalt.server.messages import Message as Message
    from tybalt.server.questions import Elicit as Elicit
    from tybalt.server.questions import Roots as Roots
    from tybalt.server.questions import Sample as Sample
    from tybalt.server.results import ToolResult as ToolResult
    from tybalt.server.server import Server as Server
    from tybalt.server.yields import Progress as Progress
    from tybalt.server.yields import Returned as Returned
    from tybalt.types.annotations import Annotations as Annotations
    from tybalt.types.capabilities import ClientCapabilities as ClientCapabilities
    from tybalt.types.completion import Completion as Completion
    from tybalt.types.content import AudioContent as AudioContent
    from tybalt.types.content import EmbeddedResource as EmbeddedResource
    from tybalt.types.content import ImageContent as ImageContent
    from tybalt.types.content import ResourceLink as ResourceLink
    from tybalt.types.content import TextContent as TextContent
    from tybalt.types.elicitation import ElicitRequestParams as ElicitRequestParams
    from tybalt.types.elicitation import ElicitResult as ElicitResult
    from tybalt.types.implementation import Icon as Icon
    from tybalt.types.input_required import InputRequiredResult as InputRequiredResult
    from tybalt.types.resources import ResourceContents as ResourceContents
    from tybalt.types.roots import Root as Root
    from tybalt.types.sampling import CreateMessageResult as CreateMessageResult
    from tybalt.types.tools import CallToolResult as CallToolResult
    from tybalt.types.tools import ToolAnnotations as ToolAnnotations

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.client.address": "Address",
        "tybalt.client.client": "Client",
        "tybalt.client.group": "ClientGroup",
        "tybalt.client.members": "ServersMissing ServerUnavailable",
        "tybalt.server.dependencies": "Depends",
        "tybalt.server.input_required": "InputRequired",
        "tybalt.protocol.elicited": "Accepted Declined Dismissed",
        "tybalt.server.questions": "Elicit Roots Sample",
        "tybalt.server.yields": "Progress Returned",
        "tybalt.execution.budgets": "Budget",
        "tybalt.execution.tokens": "checkpoint masked",
        "tybalt.reasons": "Interrupted",
        "tybalt.types.elicitation": "ElicitRequestParams ElicitResult",
        "tybalt.types.sampling": "CreateMessageResult",
        "tybalt.types.roots": "Root",
        "tybalt.types.input_required": "InputRequiredResult",
        "tybalt.types.capabilities": "ClientCapabilities",
        "tybalt.errors": (
            "BackendError ConnectionLost Forbidden InternalError InvalidParams McpError MethodNotFound "
            "MissingClientCapability MisuseError RequestLost "
            "NotFound Overloaded RateLimited RegistrationError RequestTimeout ResourceNotFound TimedOut ToolError "
            "TransportClosed TransportError TybaltError Unauthorized UnexpectedResult UnsupportedRevision "
            "ValidationError"
        ),
        "tybalt.server.context": "Context",
        "tybalt.server.decorators": "prompt resource tool",
        "tybalt.server.media": "Audio File Image",
        "tybalt.server.messages": "Message",
        "tybalt.server.results": "ToolResult",
        "tybalt.server.server": "Server",
        "tybalt.types.annotations": "Annotations",
        "tybalt.types.completion": "Completion",
        "tybalt.types.content": "AudioContent EmbeddedResource ImageContent ResourceLink TextContent",
        "tybalt.types.implementation": "Icon",
        "tybalt.types.resources": "ResourceContents",
        "tybalt.types.tools": "CallToolResult ToolAnnotations",
    },
)
