"""Whether a client may be sent a result that asks it something: by the request it answers, and by what it can do.

2026-07-28 basic/patterns/mrtr, "Supported Requests" and server requirement 7.
"""

from typing import Any

from tybalt.errors import McpError, MissingClientCapability, MisuseError
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.elicitation import ElicitRequest
from tybalt.types.input_required import InputRequest, InputRequiredResult
from tybalt.types.sampling import CreateMessageRequest

MAY_ASK = ("tools/call", "prompts/get", "resources/read")


def refusal(result: InputRequiredResult, method: str, capabilities: ClientCapabilities) -> McpError | None:
    """The -32021 that a client gets instead of questions it did not declare; `None` where it may be asked.

    Raises `MisuseError` for a method whose answer may not be a question.
    """
    if method not in MAY_ASK:
        raise MisuseError(f"{method} cannot ask its client anything; only {', '.join(MAY_ASK)} can")
    missing: dict[str, Any] = {}
    for question in (result.input_requests or {}).values():
        for name, needed in _needs(question, capabilities).items():
            missing[name] = {**missing.get(name, {}), **needed}
    return MissingClientCapability(missing) if missing else None


def _needs(question: InputRequest, declared: ClientCapabilities) -> dict[str, dict[str, Any]]:
    """The capability a question needs and the client lacks, as the client would declare it."""
    if isinstance(question, CreateMessageRequest):
        tools = question.params.tools is not None
        if declared.samples_with_tools or (declared.samples and not tools):
            return {}
        return {"sampling": {"tools": {}} if tools else {}}
    if isinstance(question, ElicitRequest):
        if question.params.mode == "url":
            return {} if declared.elicits_urls else {"elicitation": {"url": {}}}
        return {} if declared.elicits_forms else {"elicitation": {"form": {}} if declared.elicits_urls else {}}
    return {} if declared.lists_roots else {"roots": {}}
