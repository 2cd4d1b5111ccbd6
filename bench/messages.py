"""The bytes that are sent and expected: the same for us, for the floors and for the peers.

Before anything is timed, `require_equal` sees to it that a floor answers exactly what our server answers: a floor that
says less would be too low.
"""

META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},'
    b'"io.modelcontextprotocol/clientCapabilities":{}}'
)
ARGUMENTS = {"a": 5, "b": 3}
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    b'"clientInfo":{"name":"bench","version":"1.0.0"}}}'
)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
ANSWER = (
    b'{"jsonrpc":"2.0","id":%d,"result":{"resultType":"complete",'
    b'"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1.0.0"}},'
    b'"content":[{"type":"text","text":"%d"}],"structuredContent":%d}}'
)
"""The template of the answer to `call()`: the id, and the sum twice."""


def call(request_id: int = 7, tool: str = "add", *, legacy: bool = False, progress_token: int | None = None) -> bytes:
    """`tools/call` with `{"a":5,"b":3}`, in the modern era unless `legacy`."""
    meta = b"" if legacy else b"," + META
    if progress_token is not None:
        meta = meta[:-1] + b',"progressToken":%d}' % progress_token
    text = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{"a":5,"b":3}%s}}'
    return text % (request_id, tool.encode(), meta)


def simple(method: str, request_id: int = 7) -> bytes:
    """A modern request that has no parameters of its own."""
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s}}' % (request_id, method.encode(), META)


def require_equal(ours: bytes | None, floor: bytes, what: str) -> None:
    """End the run when the floor does not answer what we do."""
    if ours != floor:
        raise SystemExit(
            f"bench: {what}: the floor is no floor, it answers something else.\nours:  {ours!r}\nfloor: {floor!r}"
        )
