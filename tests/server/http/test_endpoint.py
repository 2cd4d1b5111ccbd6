"""The heads that an endpoint remembers: bounded, and idle sessions leave little of theirs."""

from __future__ import annotations

import pytest

from tests.protocol.conversations import legacy, modern
from tests.server.http.web import FACES, modern_headers, served
from tybalt import Server
from tybalt.server.http.endpoint import MAX_SESSION_HEADS


@pytest.mark.parametrize("face", FACES)
async def test_heads_that_name_a_session_push_out_each_other_and_nothing_else(face: str) -> None:
    app = Server("x").asgi()
    async with served(face, app) as client:
        await client.post(modern("tools/list"), **modern_headers("tools/list"))
        endpoint = app.service.endpoint
        assert endpoint is not None
        sessions = [await client.begin() for _ in range(MAX_SESSION_HEADS + 10)]
        named = [entry for entry, _ in endpoint.heads.values() if entry.admitted.session_id]
        assert len(named) == MAX_SESSION_HEADS
        assert any(entry.admitted.era == "modern" for entry, _ in endpoint.heads.values())
        for session in (sessions[0], sessions[-1]):  # One that was pushed out, and one that was not.
            for _ in range(2):
                assert (await client.post(legacy("ping"), **session)).json["result"] == {}
