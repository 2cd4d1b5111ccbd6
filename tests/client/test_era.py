"""Which era a client finds: by what a server answers, does not answer, or says unasked; and the handshake."""

import asyncio
from typing import Any

import pytest

from tests.client.http.scripted import Act, acts, scripted, status
from tests.client.peers import DISCOVERED, INITIALIZED, Clock, Peer, asked, connected, failure, settle, success
from tests.server.http.web import lane_face
from tybalt import Client, ConnectionLost, McpError, RequestTimeout, Server
from tybalt.client import opening
from tybalt.errors import (
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    MisuseError,
    TybaltError,
    UnexpectedResult,
    UnsupportedRevision,
)
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import REVISIONS

OLDER = {**DISCOVERED, "supportedVersions": ["2025-06-18", "2025-11-25"]}
SAYS_LEGACY: dict[str, tuple[bytes, type[Exception]]] = {
    "method not found": (failure(-32601), MethodNotFound),
    "invalid request": (failure(-32600), McpError),
    "invalid params": (failure(-32602), McpError),
    "an error of its own": (failure(7, "anything"), McpError),
    "not yet initialized": (failure(-32000), McpError),
    "an error without an id": (failure(-32700, id=None), McpError),
    "no result of discovery": (success({"tools": []}), UnexpectedResult),
    "no object": (success(5), UnexpectedResult),
    "another kind of result": (success({**DISCOVERED, "resultType": "zzz"}), UnexpectedResult),
    "legacy revisions": (success(OLDER), UnsupportedRevision),
    "refused, with legacy ones": (failure(-32022, {"supported": ["2025-11-25"]}), UnsupportedRevision),
}
SAYS_NO: dict[str, tuple[bytes, type[McpError], Any]] = {
    "header mismatch": (failure(-32020), McpError, None),
    "missing capability": (failure(-32021, {"requiredCapabilities": {}}), McpError, {"requiredCapabilities": {}}),
    "unsupported revision": (failure(-32022, {"supported": ["2099-01-01"]}), UnsupportedRevision, ["2099-01-01"]),
    "unsupported, and what is?": (failure(-32022, "?"), UnsupportedRevision, []),
    "other revisions": (
        success({**DISCOVERED, "supportedVersions": ["2099-01-01"]}),
        UnsupportedRevision,
        ["2099-01-01"],
    ),
}

JSON = "application/json"
REFUSES_THE_PROBE: dict[str, Act] = {
    "400 in words": status(400, b"Bad Request: Server not initialized"),
    "400 with an error": status(400, failure(-32000, id="server-error"), JSON),
    "400 with nothing": status(400),
    "404": status(404, b"session not found"),
    "404 for the method": status(404, failure(-32601), JSON),
    "405": status(405),
    "406": status(406),
    "415": status(415),
    "422 of a framework": status(422, b'{"detail":[{"msg":"no"}]}', JSON),
    "an error": status(200, failure(-32601), JSON),
    "an error without an id": status(200, failure(-32600, id=None), JSON),
    "an error on a stream": status(200, b"data: " + failure(-32601) + b"\n\n", "text/event-stream"),
    "no discovery": status(200, success({"tools": []}), JSON),
    "a page": status(200, b"<p>", "text/html"),
    "202": status(202),
}
UNDECIDED = (401, 403, 408, 425, 429, 500, 502, 503, 504)


@pytest.mark.parametrize(
    ("speaks", "asked_for", "found"),
    [
        (("modern", "legacy"), "auto", "2026-07-28"),
        (("modern", "legacy"), "modern", "2026-07-28"),
        (("modern", "legacy"), "legacy", "2025-11-25"),
        (("modern",), "auto", "2026-07-28"),
        (("modern",), "legacy", MethodNotFound),
        (("legacy",), "auto", "2025-11-25"),
        (("legacy",), "modern", InvalidRequest),
    ],
)
async def test_what_servers_speak_and_what_clients_want(speaks: tuple[str, ...], asked_for: Any, found: Any) -> None:
    client = Client(Server("x", eras=speaks), era=asked_for)
    if isinstance(found, str):
        async with client:
            assert client.revision == found
    else:
        with pytest.raises(found):
            await client.__aenter__()


@pytest.mark.parametrize(
    ("revision", "value"), [("2024-11-05", "8"), ("2025-03-26", "8"), ("2025-06-18", 8), ("2025-11-25", 8)]
)
async def test_every_legacy_revision_is_taken_as_the_server_has_it(revision: str, value: Any) -> None:
    server = Server("old", eras=[revision])

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    async with Client(server) as client:
        assert client.revision == revision
        assert await client.call("add", a=5, b=3) == value


class TestTheEra:
    @pytest.mark.parametrize("answer", [each[0] for each in SAYS_LEGACY.values()], ids=SAYS_LEGACY)
    async def test_what_only_a_legacy_server_says_leads_to_the_handshake(self, answer: bytes) -> None:
        peer = Peer()
        client = Client(peer.client_end, info=Implementation(name="me", version="3"))
        opening, request = await asked(peer, client.__aenter__())
        assert (request["method"], request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]) == (
            "server/discover",
            "2026-07-28",
        )
        peer.send(answer)
        request = await peer.next()
        assert (request["method"], request["params"]) == (
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "me", "version": "3"}},
        )
        peer.answer(request, {**INITIALIZED, "instructions": "Hush."})
        await opening
        assert (await peer.next()) == {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (client.revision, client.instructions) == ("2025-11-25", "Hush.")
        await client.aclose()

    @pytest.mark.parametrize(("answer", "kind"), SAYS_LEGACY.values(), ids=SAYS_LEGACY)
    async def test_where_only_modern_will_do_it_is_raised(self, answer: bytes, kind: type[Exception]) -> None:
        peer = Peer()
        opening, _ = await asked(peer, Client(peer.client_end, era="modern").__aenter__())
        peer.send(answer)
        with pytest.raises(kind):
            await opening
        assert await peer.rest() == []

    @pytest.mark.parametrize("era", ["auto", "modern"])
    @pytest.mark.parametrize(("answer", "kind", "told"), SAYS_NO.values(), ids=SAYS_NO)
    async def test_what_only_a_modern_server_says_is_raised(
        self, era: Any, answer: bytes, kind: type[McpError], told: Any
    ) -> None:
        peer = Peer()
        opening, _ = await asked(peer, Client(peer.client_end, era=era).__aenter__())
        peer.send(answer)
        with pytest.raises(kind) as refused:
            await opening
        expected = {"requested": "2026-07-28", "supported": told} if kind is UnsupportedRevision else told
        assert refused.value.data == expected
        assert await peer.rest() == []

    @pytest.mark.parametrize("era", ["auto", "modern"])
    @pytest.mark.parametrize("relents", [True, False])
    async def test_a_revision_that_is_refused_and_named_is_asked_for_once_more(
        self, era: Any, *, relents: bool
    ) -> None:
        peer = Peer()
        opening, request = await asked(peer, Client(peer.client_end, era=era).__aenter__())
        peer.refuse(request, -32022, {"supported": ["2026-07-28"]})
        again = await peer.next()
        assert (again["method"], again["params"]) == ("server/discover", request["params"])
        if relents:
            peer.answer(again, DISCOVERED)
            client = await opening
            assert client.revision == "2026-07-28"
            await client.aclose()
            return
        peer.refuse(again, -32022, {"supported": ["2026-07-28"]})
        with pytest.raises(UnsupportedRevision):
            await opening
        assert await peer.rest() == []

    @pytest.mark.parametrize("noise", [b"", b"Welcome to Peer 1.0!", b"\xff\xfe", failure(-32601, id=7)])
    async def test_silence_and_banners_lead_to_the_handshake_when_time_is_up(self, noise: bytes) -> None:
        clock, peer = Clock(), Peer()
        client = Client(peer.client_end)
        opening, request = await asked(peer, client.__aenter__())
        peer.send(noise)
        await clock.advance(2.9)
        await clock.advance(0.1)
        handshake = await peer.next()
        assert handshake["method"] == "initialize", "the probe must not be cancelled at a server that knows nothing yet"
        peer.send(failure(-32600, id=None))
        peer.answer(request, DISCOVERED)
        await settle()
        assert not opening.done(), "a late answer to the probe is none to the handshake"
        peer.answer(handshake, INITIALIZED)
        await opening
        assert client.revision == "2025-11-25"
        await client.aclose()

    async def test_the_probe_waits_as_long_as_it_is_told(self) -> None:
        clock, peer = Clock(), Peer()
        opening, request = await asked(peer, Client(peer.client_end, probe_timeout=10, timeout=1).__aenter__())
        await clock.advance(9)
        peer.answer(request, DISCOVERED)
        client = await opening
        assert client.revision == "2026-07-28"
        await client.aclose()

    async def test_silence_is_raised_where_only_modern_will_do(self) -> None:
        clock, peer = Clock(), Peer()
        opening, _ = await asked(peer, Client(peer.client_end, era="modern", timeout=20).__aenter__())
        await clock.advance(3)
        assert not opening.done()
        await clock.advance(18)
        with pytest.raises(RequestTimeout, match=r"server/discover was not answered within 20 s$"):
            await opening
        assert await peer.rest() == []

    async def test_a_modern_server_that_is_slow_to_start_is_found_all_the_same(self) -> None:
        clock, peer = Clock(), Peer()
        client = Client(peer.client_end)
        opening, probe = await asked(peer, client.__aenter__())
        await clock.advance(3)
        handshake = await peer.next()
        assert handshake["method"] == "initialize"
        peer.answer(probe, DISCOVERED)
        peer.refuse(handshake, -32601)
        peer.answer(await peer.next(), DISCOVERED)
        await opening
        assert client.revision == "2026-07-28"
        await client.aclose()
        await peer.aclose()

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_single_revision_is_spoken_or_nothing(self, revision: str) -> None:
        async with Client(Server("x"), era=revision) as client:
            assert client.revision == revision
        other = next(each for each in REVISIONS if each != revision)
        with pytest.raises(TybaltError):
            async with Client(Server("x", eras=[other]), era=revision):
                raise AssertionError("they have no revision in common")

    @pytest.mark.parametrize("era", ["nonsense", "", "2025-01-01", "Modern"])
    def test_an_era_that_is_none_is_told(self, era: str) -> None:
        with pytest.raises(MisuseError, match=f"era: expected 'auto', .* got '{era}'"):
            Client(Server("x"), era=era)

    @pytest.mark.parametrize(
        ("result", "kind", "text"),
        [
            ({**INITIALIZED, "protocolVersion": "1999-01-01"}, UnsupportedRevision, "Unsupported protocol version"),
            ({**INITIALIZED, "protocolVersion": "2026-07-28"}, UnsupportedRevision, "Unsupported protocol version"),
            ({"protocolVersion": "2025-11-25"}, UnexpectedResult, "no InitializeResult: .*capabilities"),
            (None, RequestTimeout, "initialize was not answered within 60 s"),
        ],
    )
    @pytest.mark.time_limit(600)
    async def test_a_handshake_that_fails_is_raised(self, result: Any, kind: type[Exception], text: str) -> None:
        clock, peer = Clock(), Peer()
        opening, request = await asked(peer, Client(peer.client_end, era="legacy").__aenter__())
        assert request["method"] == "initialize"
        if result is not None:
            peer.answer(request, result)
        await clock.advance(60)
        with pytest.raises(kind, match=text):
            await opening
        assert await peer.rest() == [], "initialize must not be cancelled"

    async def test_a_refused_handshake_is_raised_as_it_is(self) -> None:
        peer = Peer()
        opening, request = await asked(peer, Client(peer.client_end, era="legacy").__aenter__())
        peer.send(failure(-32603, id=None))
        peer.refuse(request, -32602, {"supported": ["2024-11-05"]})
        with pytest.raises(InvalidParams) as refused:
            await opening
        assert refused.value.data == {"supported": ["2024-11-05"]}

    @pytest.mark.parametrize("era", ["auto", "modern", "legacy"])
    async def test_an_end_instead_of_an_answer_is_raised(self, era: Any) -> None:
        peer = Peer()
        opening, _ = await asked(peer, Client(peer.client_end, era=era).__aenter__())
        await peer.aclose()
        with pytest.raises(ConnectionLost, match="the server closed the connection"):
            await opening

    async def test_a_connection_that_is_closed_already_is_raised(self) -> None:
        peer = Peer()
        await peer.aclose()
        with pytest.raises(ConnectionLost, match="the server has closed the connection"):
            await Client(peer.client_end).__aenter__()

    async def test_a_cancel_while_connecting_closes_the_transport(self) -> None:
        peer = Peer()
        opening, _ = await asked(peer, Client(peer.client_end).__aenter__())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert await peer.rest() == []

    @pytest.mark.parametrize("meta", [None, {}, {"io.modelcontextprotocol/serverInfo": {"name": 5}}])
    async def test_a_server_need_not_say_who_it_is(self, meta: Any) -> None:
        peer = Peer()
        opening, request = await asked(peer, Client(peer.client_end).__aenter__())
        peer.answer(request, {**DISCOVERED, "_meta": meta})
        client = await opening
        assert client.server_info is None and client.revision == "2026-07-28"
        await client.aclose()

    @pytest.mark.parametrize(("capabilities", "asks"), [(("logging",), 1), (("tools",), 0)])
    async def test_a_legacy_server_is_asked_for_logs_once_if_it_has_any(
        self, capabilities: tuple[str, ...], asks: int
    ) -> None:
        async with connected("legacy", capabilities=capabilities, log_level="info") as (client, peer):
            asking, request = await asked(peer, client.request("x", {"_meta": {"mine": 1}}))
            assert (request["id"], request["params"]["_meta"]) == (2 + asks, {"mine": 1})
            peer.answer(request, {})
            await asking

    async def test_a_modern_server_is_asked_for_logs_with_every_request(self) -> None:
        async with connected(log_level="error") as (client, peer):
            calling, request = await asked(peer, client.request("x", {"_meta": {"mine": 1}}))
            meta = request["params"]["_meta"]
            assert (meta["mine"], meta["io.modelcontextprotocol/logLevel"]) == (1, "error")
            assert "progressToken" not in meta
            peer.answer(request, {})
            assert bytes(await calling) == b"{}"


class TestOverHttp:
    @pytest.fixture(autouse=True)
    def verdicts(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, None]:
        """The servers that are known to be legacy: none yet."""
        known: dict[str, None] = {}
        monkeypatch.setattr(opening, "_legacy", known)
        return known

    @pytest.mark.parametrize("act", REFUSES_THE_PROBE.values(), ids=REFUSES_THE_PROBE)
    async def test_what_only_a_legacy_server_says_leads_to_the_handshake(self, act: Act) -> None:
        async with scripted({**acts("legacy"), "server/discover": act}) as server, Client(server.url) as client:
            assert client.revision == "2025-11-25"
        probe, handshake = server.requests[:2]
        assert probe.fields["mcp-protocol-version"] == "2026-07-28"
        assert handshake.method == "initialize" and "mcp-protocol-version" not in handshake.fields

    @pytest.mark.parametrize("act", REFUSES_THE_PROBE.values(), ids=REFUSES_THE_PROBE)
    async def test_where_only_modern_will_do_it_is_raised(self, act: Act) -> None:
        async with scripted({**acts("legacy"), "server/discover": act}) as server:
            with pytest.raises((McpError, UnexpectedResult)):
                await Client(server.url, era="modern").__aenter__()
        assert server.methods == ["server/discover"]

    @pytest.mark.parametrize("body", [b"", failure(-32603, id=None)], ids=["nothing", "an error"])
    @pytest.mark.parametrize("number", UNDECIDED)
    async def test_what_may_be_said_in_either_era_is_raised_and_not_remembered(
        self, number: int, body: bytes, verdicts: dict[str, None]
    ) -> None:
        async with scripted({**acts("legacy"), "server/discover": status(number, body, JSON)}) as server:
            with pytest.raises(McpError, match="no" if body else f"HTTP {number}") as refused:
                await Client(server.url).__aenter__()
        assert server.methods == ["server/discover"] and not verdicts and refused.value.code == number

    @pytest.mark.parametrize("era", ["auto", "modern"])
    @pytest.mark.parametrize(("answer", "kind", "told"), SAYS_NO.values(), ids=SAYS_NO)
    @pytest.mark.parametrize("number", [200, 400])
    async def test_what_only_a_modern_server_says_is_raised(
        self, number: int, era: Any, answer: bytes, kind: type[McpError], told: Any
    ) -> None:
        if number == 400 and b'"result"' in answer:
            number = 200
        async with scripted({**acts("legacy"), "server/discover": status(number, answer, JSON)}) as server:
            with pytest.raises(kind) as refused:
                await Client(server.url, era=era).__aenter__()
        expected = {"requested": "2026-07-28", "supported": told} if kind is UnsupportedRevision else told
        assert refused.value.data == expected and server.methods == ["server/discover"]

    async def test_silence_says_nothing(self) -> None:
        """A server that is reached and slow may be a modern one: there is no handshake on a guess."""

        async def silent(request: Any, line: Any) -> None:
            await line.gone()

        async with scripted({**acts("legacy"), "server/discover": silent}) as server:
            with pytest.raises(RequestTimeout, match=r"server/discover was not answered"):
                await Client(server.url, timeout=0.05, probe_timeout=0.01).__aenter__()
        assert server.methods == ["server/discover"]

    async def test_a_legacy_server_is_asked_for_its_era_once(self, verdicts: dict[str, None]) -> None:
        async with scripted(acts("legacy")) as server:
            for probes in (1, 1, 1):
                async with Client(server.url) as client:
                    assert client.revision == "2025-11-25"
                assert server.methods.count("server/discover") == probes
            assert list(verdicts) == [server.url]
            async with Client(server.url, era="legacy"):
                pass
            with pytest.raises(McpError):
                await Client(server.url, era="modern").__aenter__()

    async def test_a_server_that_has_become_modern_is_found_to_be(self, verdicts: dict[str, None]) -> None:
        async with scripted(acts("legacy")) as server:
            async with Client(server.url):
                pass
            refusal = failure(-32601, id=1)
            server.acts = {**acts(), "initialize": status(404, refusal, JSON)}
            for _ in range(2):
                async with Client(server.url) as client:
                    assert client.revision == "2026-07-28"
                    assert await client.call("x", a=1) == {"a": 1}
            assert not verdicts
        modern = server.requests[-2:]
        assert all("mcp-session-id" not in each.fields for each in modern)
        assert {each.fields["mcp-protocol-version"] for each in modern} == {"2026-07-28"}

    async def test_a_handshake_that_is_no_result_leaves_no_session_to_modern_requests(
        self, verdicts: dict[str, None]
    ) -> None:
        half = success({"protocolVersion": "2025-11-25"})
        async with scripted(acts()) as server:
            verdicts[server.url] = None
            server.acts["initialize"] = status(200, half, JSON, mcp_session_id="half")
            async with Client(server.url) as client:
                assert await client.call("x", a=1) == {"a": 1}
        posted = [each for each in server.requests if each.method in ("server/discover", "tools/call")]
        assert {(each.fields["mcp-protocol-version"], each.session) for each in posted} == {("2026-07-28", None)}

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_single_revision_is_spoken_or_nothing(self, revision: str) -> None:
        async with (
            lane_face(Server("x", eras=[revision]).asgi()) as face,
            Client(f"http://127.0.0.1:{face.port}/mcp") as found,
        ):
            assert found.revision == revision
            async with Client(f"http://127.0.0.1:{face.port}/mcp", era=revision) as client:
                assert client.revision == revision
            other = next(each for each in REVISIONS if each != revision)
            with pytest.raises(TybaltError):
                await Client(f"http://127.0.0.1:{face.port}/mcp", era=other).__aenter__()
