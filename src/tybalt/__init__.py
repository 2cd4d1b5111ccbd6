"""Tybalt: a framework for the Model Context Protocol, in every revision, at the speed of its parser.

The names below are what most programs need. They are loaded on first use, so that a client does not load a server.
Wire types are in `tybalt.types`, the sans-I/O core in `tybalt.protocol`, transports in `tybalt.transports`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tybalt.client.client import Client as Client
    from tybalt.errors import ConnectionLost as ConnectionLost
    from tybalt.errors import InvalidParams as InvalidParams
    from tybalt.errors import McpError as McpError
    from tybalt.errors import MisuseError as MisuseError
    from tybalt.errors import RegistrationError as RegistrationError
    from tybalt.errors import RequestTimeout as RequestTimeout
    from tybalt.errors import ResourceNotFound as ResourceNotFound
    from tybalt.errors import ToolError as ToolError
    from tybalt.errors import TybaltError as TybaltError
    from tybalt.server.context import Context as Context
    from tybalt.server.decorators import prompt as prompt
    from tybalt.server.decorators import resource as resource
    from tybalt.server.decorators import tool as tool
    from tybalt.server.media import Audio as Audio
    from tybalt.server.media import File as File
    from tybalt.server.media import Image as Image
    from tybalt.server.messages import Message as Message
    from tybalt.server.results import ToolResult as ToolResult
    from tybalt.server.server import Server as Server
    from tybalt.types.annotations import Annotations as Annotations
    from tybalt.types.implementation import Icon as Icon
    from tybalt.types.tools import ToolAnnotations as ToolAnnotations

_MODULES = {
    "tybalt.client.client": ("Client",),
    "tybalt.errors": (
        "ConnectionLost",
        "InvalidParams",
        "McpError",
        "MisuseError",
        "RegistrationError",
        "RequestTimeout",
        "ResourceNotFound",
        "ToolError",
        "TybaltError",
    ),
    "tybalt.server.context": ("Context",),
    "tybalt.server.decorators": ("prompt", "resource", "tool"),
    "tybalt.server.media": ("Audio", "File", "Image"),
    "tybalt.server.messages": ("Message",),
    "tybalt.server.results": ("ToolResult",),
    "tybalt.server.server": ("Server",),
    "tybalt.types.annotations": ("Annotations",),
    "tybalt.types.implementation": ("Icon",),
    "tybalt.types.tools": ("ToolAnnotations",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # pyright: ignore[reportUnsupportedDunderAll] (the names are those of TYPE_CHECKING above)


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'tybalt' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
