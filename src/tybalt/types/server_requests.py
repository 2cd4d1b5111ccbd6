"""The requests a legacy server sends its client: the questions of `input_required.py`, each with an id of its own.

Each class derives from its modern namesake, which has no envelope. `ping` goes both ways and is in `initialize.py`;
`tasks/*` likewise in `tasks.py`. 2025-11-25 client/sampling, client/elicitation, client/roots.
"""

from typing import Literal

from tybalt.types import elicitation, roots, sampling
from tybalt.types.jsonrpc import RequestId


class CreateMessageRequest(
    sampling.CreateMessageRequest, tag_field="method", tag="sampling/createMessage", frozen=True, kw_only=True
):
    """Asks the model."""

    jsonrpc: Literal["2.0"]
    id: RequestId


class ElicitRequest(elicitation.ElicitRequest, tag_field="method", tag="elicitation/create", frozen=True, kw_only=True):
    """Asks the user; from 2025-06-18 on."""

    jsonrpc: Literal["2.0"]
    id: RequestId


class ListRootsRequest(roots.ListRootsRequest, tag_field="method", tag="roots/list", frozen=True, kw_only=True):
    """Asks for the roots."""

    jsonrpc: Literal["2.0"]
    id: RequestId
