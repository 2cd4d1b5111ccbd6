"""An endpoint that is served: the lifespan around it, mounting under a prefix, health, draining, the door, settings."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.protocol.conversations import legacy, modern
from tests.server.http.web import FACES, AsgiFace, Client, modern_headers, web
from tybalt import Context, Server
from tybalt.errors import MisuseError
from tybalt.server.http import principals, setting_values
from tybalt.server.http.principals import MAX_PRINCIPALS
from tybalt.server.http.settings import HttpOptions, http_settings

FACE = pytest.mark.parametrize("face", FACES)
LIST = modern("server/discover")
HEADERS = modern_headers("server/discover")
PLAIN = PlainTextResponse("a page")


def watched() -> tuple[Server, list[str]]:
    """A server that writes down when its lifespan begins and ends."""
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Server) -> AsyncGenerator[str]:
        happened.append("begins")
        yield "here"
        happened.append("ends")

    server = Server("x", lifespan=lifespan)

    @server.tool
    async def where(context: Context) -> str:
        return context.lifespan

    return server, happened


class TestLifespan:
    @FACE
    async def test_it_is_open_while_requests_are_served(self, face: str) -> None:
        server, happened = watched()
        async with web(face, server) as client:
            response = await client.post(
                modern("tools/call", {"name": "where"}), **modern_headers("tools/call", "where")
            )
            assert response.json["result"]["structuredContent"] == "here"
            assert happened == ["begins"]
        assert happened == ["begins", "ends"]

    async def test_without_a_host_that_says_so_it_opens_with_the_first_request_once(self) -> None:
        server, happened = watched()
        async with web("asgi", server) as client:
            assert happened == []
            await asyncio.gather(*(client.post(LIST, **HEADERS) for _ in range(5)))
            assert happened == ["begins"]

    async def test_one_that_fails_fails_the_request_and_may_be_tried_again(self) -> None:
        tries: list[int] = []

        @asynccontextmanager
        async def lifespan(_: Server) -> AsyncGenerator[None]:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("the database is not up yet")
            yield

        async with web("asgi", Server("x", lifespan=lifespan)) as client:
            with pytest.raises(OSError, match="not up yet"):
                await client.post(LIST, **HEADERS)
            assert (await client.post(LIST, **HEADERS)).status == 200

    async def test_after_the_end_nothing_is_served(self) -> None:
        server, happened = watched()
        async with web("asgi", server) as client:
            assert (await client.send("GET", path="/ready")).status == 200
            assert (await client.send("HEAD", path="/ready")).status == 200
            assert happened == ["begins"]
            await server.drain()
            await server.drain()
            assert happened == ["begins", "ends"]
            assert (await client.send("GET", path="/ready")).status == 503
            assert (await client.send("GET", path="/health")).status == 200
            assert (await client.post(LIST, **HEADERS)).status == 503

    async def test_one_that_fails_is_not_ready(self) -> None:
        @asynccontextmanager
        async def lifespan(_: Server) -> AsyncGenerator[None]:
            raise OSError("the database is not up yet")
            yield

        async with web("asgi", Server("x", lifespan=lifespan)) as client:
            assert (await client.send("GET", path="/ready")).status == 503
            assert (await client.send("GET", path="/health")).status == 200

    async def test_a_host_may_begin_its_lifespan_again(self) -> None:
        server, happened = watched()
        app = server.asgi()
        for _ in range(2):
            said: list[str] = []
            over = asyncio.Event()
            asked = iter(["lifespan.startup", "lifespan.shutdown"])

            async def receive(asked: Any = asked, over: asyncio.Event = over) -> Any:
                kind = next(asked)
                if kind == "lifespan.shutdown":
                    await over.wait()
                return {"type": kind}

            async def send(message: Any, said: list[str] = said) -> None:
                said.append(message["type"])

            living = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
            client = Client(AsgiFace(app))
            assert (await client.post(LIST, **HEADERS)).status == 200
            over.set()
            await living
            assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
            assert (await client.post(LIST, **HEADERS)).status == 503
        assert happened == ["begins", "ends"] * 2


class TestMounted:
    @pytest.mark.parametrize(("mount", "path"), [("/api", "/mcp"), ("/deep/er", "/mcp"), ("/mcp", "/")])
    async def test_in_starlette_under_any_prefix(self, mount: str, path: str) -> None:
        server, happened = watched()
        other = Route("/other", lambda _: PlainTextResponse("other"))
        host = Starlette(routes=[Mount(mount, app=server.asgi(path=path)), other])
        client = Client(AsgiFace(host))
        url = mount + ("" if path == "/" else path)
        for asked in (url + "/",) if path == "/" else (url, url + "/"):  # Starlette redirects to the slash of a mount.
            assert (await client.send("POST", LIST, asked, **HEADERS)).status == 200
        assert (await client.send("GET", path="/other")).body == b"other"
        missed = await client.send("GET", path=f"{mount}/nothing\u2028")
        assert missed.status == 404
        told = f"there is nothing at {mount}/nothing\\u2028; the MCP endpoint is {mount}{path}"
        assert missed.json["error"] == told
        await server.drain()
        assert happened == ["begins", "ends"]

    async def test_in_fastapi(self) -> None:
        server, happened = watched()
        host = FastAPI()
        host.mount("/tools", server.asgi())

        @host.get("/other")
        def other() -> str:
            return "other"

        client = Client(AsgiFace(host))
        assert (await client.send("POST", LIST, "/tools/mcp", **HEADERS)).status == 200
        assert (await client.send("GET", path="/other")).json == "other"
        await server.drain()
        assert happened == ["begins", "ends"]

    async def test_two_in_one_host(self) -> None:
        one, two = Server("one"), Server("two")
        host = Starlette(routes=[Mount("/one", app=one.asgi()), Mount("/two", app=two.asgi())])
        client = Client(AsgiFace(host))
        for name in ("one", "two"):
            discover = await client.send(
                "POST", modern("server/discover"), f"/{name}/mcp", **modern_headers("server/discover")
            )
            assert name in discover.body.decode()
        await one.drain()
        await two.drain()

    @pytest.mark.parametrize(
        ("root_path", "path"),
        [
            ("", "/mcp"),
            ("/", "/mcp"),
            ("/api", "/api/mcp"),
            ("/api/", "/api/mcp"),
            ("/api", "/mcp"),  # A proxy has taken the prefix away.
            ("/m", "/mcp"),
            ("/mcp", "/mcp/mcp/"),
        ],
    )
    async def test_the_prefix_ends_where_a_part_of_the_path_does(self, root_path: str, path: str) -> None:
        server = Server("x")
        app = server.asgi()

        async def mounted(scope: Any, receive: Any, send: Any) -> None:
            await app(scope | {"root_path": root_path}, receive, send)

        assert (await Client(AsgiFace(mounted)).send("POST", LIST, path, **HEADERS)).status == 200
        await server.drain()


class TestDoor:
    @FACE
    async def test_the_principal_reaches_handlers_and_keeps_sessions_apart(self, face: str) -> None:
        class Verifier:
            def verify(self, token: str) -> str | None:
                return {"montague": "romeo", "capulet": "juliet"}.get(token)

        server = Server("x")

        @server.tool
        async def who(context: Context) -> str:
            return str(context.principal)

        async with web(face, server, verifier=Verifier()) as client:
            body, headers = modern("tools/call", {"name": "who"}), modern_headers("tools/call", "who")
            for token, name in (("montague", "romeo"), ("capulet", "juliet")) * 2:
                response = await client.post(body, **headers, authorization=f"Bearer {token}")
                assert response.json["result"]["structuredContent"] == name
            session = await client.begin(authorization="Bearer montague")
            mine = await client.post(legacy("ping"), **session, authorization="bearer montague")
            assert mine.status == 200
            stolen = await client.post(legacy("ping"), **session, authorization="Bearer capulet")
            assert stolen.status == 404
            assert (await client.post(legacy("ping"), **session)).status == 401

    @FACE
    async def test_who_does_not_get_in_is_told_how(self, face: str) -> None:
        async with web(face, Server("x"), auth_token="a token of many characters") as client:
            for authorization, challenge in (
                (None, "Bearer"),
                ("Basic abc", "Bearer"),
                ("Bearer wrong", 'Bearer error="invalid_token"'),
                ("Bearer " + "a" * 10_000, "Bearer"),
                ("Bearer é", 'Bearer error="invalid_token"'),
            ):
                response = await client.post(LIST, **HEADERS, authorization=authorization)
                assert response.status == 401
                assert response.headers["www-authenticate"] == challenge
                assert response.names.count("www-authenticate") == 1
                assert b"many characters" not in response.body
            hostile = await client.post(LIST, **HEADERS, origin="https://evil.example")
            assert hostile.status == 403

    @pytest.mark.parametrize("waits", [True, False])
    async def test_a_verifier_that_fails_lets_nobody_in(self, waits: bool, caplog: pytest.LogCaptureFixture) -> None:
        class Verifier:
            def verify(self, token: str) -> Any:
                if waits:
                    return self.later()
                raise OSError("the directory at 10.0.0.7 is down")

            async def later(self) -> str:
                raise OSError("the directory at 10.0.0.7 is down")

        async with web("asgi", Server("x"), verifier=Verifier()) as client:
            response = await client.post(LIST, **HEADERS, authorization="Bearer x")
            assert response.status == 500
            assert b"10.0.0.7" not in response.body
            reference = response.json["error"].split()[-1]
            assert reference in caplog.text
            assert "10.0.0.7" in caplog.text

    async def test_a_token_is_in_no_repr(self) -> None:
        settings = http_settings({"auth_token": "a token of many characters"})
        assert "many" not in repr(settings)

    async def test_many_principals_take_no_memory_for_good(self) -> None:
        class Anybody:
            async def verify(self, token: str) -> str | None:
                return token

        async with web("asgi", Server("x"), verifier=Anybody()) as client:
            for number in range(MAX_PRINCIPALS + 20):
                assert (await client.post(LIST, **HEADERS, authorization=f"Bearer {number}")).status == 200
            endpoint = client._face._app.service.endpoint
            assert len(endpoint._modern.sessions()) == MAX_PRINCIPALS

    async def test_a_principal_beside_many_busy_ones_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(principals, "MAX_PRINCIPALS", 2)

        class Anybody:
            def verify(self, token: str) -> str | None:
                return token

        server, go, began = Server("x", max_running=1), asyncio.Event(), asyncio.Queue[str]()

        @server.tool
        async def work(context: Context) -> str:
            began.put_nowait(str(context.principal))
            await go.wait()
            return "done"

        async with web("asgi", server, verifier=Anybody()) as client:

            async def ask(name: str) -> int:
                body = modern("tools/call", {"name": "work", "arguments": {}})
                headers = modern_headers("tools/call", "work")
                return (await client.post(body, **headers, authorization=f"Bearer {name}")).status

            busy = [asyncio.ensure_future(ask(name)) for name in ("ann", "bob", "eve", "eve")]
            assert [await began.get() for _ in range(3)] == ["ann", "bob", "eve"]
            sessions = client._face._app.service.endpoint._modern.sessions()
            assert [(each.principal, len(each.running.calls)) for each in sessions][-1] == ("eve", 2)
            assert began.empty(), "so many of one principal at a time"
            go.set()
            assert [await each for each in busy] == [200] * 4
            for name in ("x", "y", "z"):
                assert await ask(name) == 200
            assert len(client._face._app.service.endpoint._modern.sessions()) == 2


class TestPages:
    @FACE
    async def test_pages_of_other_origins_are_let_in_by_name(self, face: str) -> None:
        page = "https://app.example.com"
        async with web(face, Server("x"), cors_origins=[page]) as client:
            asked = await client.send(
                "OPTIONS",
                origin=page,
                access_control_request_method="POST",
                access_control_request_headers="content-type, mcp-method, x-other",
            )
            assert asked.status == 204
            assert asked.headers["access-control-allow-origin"] == page
            assert "x-other" not in asked.headers["access-control-allow-headers"]
            for _ in range(2):
                answered = await client.post(LIST, **HEADERS, origin=page)
                assert answered.headers["access-control-allow-origin"] == page
            refused = await client.post(LIST, **HEADERS, origin="https://evil.example")
            assert refused.status == 403
            assert "access-control-allow-origin" not in refused.headers

    @FACE
    async def test_none_by_default(self, face: str) -> None:
        async with web(face, Server("x")) as client:
            asked = await client.send("OPTIONS", origin="http://localhost", access_control_request_method="POST")
            assert asked.status == 405
            answered = await client.post(LIST, **HEADERS, origin="http://localhost:3000")
            assert "access-control-allow-origin" not in answered.headers


class TestHosts:
    @FACE
    async def test_named_ones(self, face: str) -> None:
        async with web(face, Server("x"), allowed_hosts=["mcp.example.com"]) as client:
            for host, status in (("mcp.example.com", 200), ("localhost", 403), ("mcp.example.com.evil", 403)):
                assert (await client.post(LIST, **HEADERS, host=host)).status == status
            own = await client.post(LIST, **HEADERS, host="mcp.example.com", origin="https://mcp.example.com")
            assert own.status == 200


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"pth": "/x"}, r"no HTTP option 'pth' \(did you mean 'path'\?\); there are allowed_hosts, "),
            ({"zzz": 1, "hosts": []}, r"no HTTP option 'zzz', 'hosts' \(did you mean 'allowed_hosts'\?\)"),
            ({"origins": []}, r"did you mean 'allowed_origins'\?"),
            ({"path": "mcp"}, "begins with '/'"),
            ({"path": None}, "begins with '/', such as '/mcp', got None"),
            ({"max_body": 0}, "max_body is a whole number"),
            ({"max_body": True}, "max_body is a whole number"),
            ({"max_body": "1MB"}, "max_body is a whole number of bytes, such as 1048576 for 1 MiB, got '1MB'"),
            ({"keep_alive": 0}, "keep_alive: a duration is"),
            ({"sessions": "no"}, "sessions is True or False"),
            ({"auth_token": "short"}, "16 visible"),
            ({"auth_token": ""}, "16 visible"),
            ({"auth_token": "a" * 16, "verifier": object()}, "two ways"),
            ({"routes": {"/x": 5}}, "ASGI application"),
            ({"routes": {"x": lambda: None}}, "begins with '/'"),
            ({"routes": None}, r"routes: expected ASGI applications by path, as in \{'/hello': app\}, got None"),
            ({"routes": ["/x"]}, "routes: expected ASGI applications by path"),
            ({"allowed_hosts": "x"}, "^allowed_hosts is a list"),
            ({"allowed_hosts": None}, "^allowed_hosts is a list"),
            ({"allowed_hosts": ["http://x"]}, "^allowed_hosts: a host is"),
            ({"allowed_hosts": []}, "allowed_hosts is empty, so that nobody could ever come in: name the hosts"),
            ({"allowed_origins": ["x"]}, "^allowed_origins: an origin is"),
            ({"cors_origins": "https://x"}, "^cors_origins is a list"),
            ({"cors_origins": ["x"]}, "^cors_origins: an origin is"),
            ({"cors_origins": ["*"]}, "^cors_origins: name the origins of pages"),
        ],
    )
    def test_what_cannot_be_is_refused_at_once(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(MisuseError, match=text) as refused:
            Server("x").asgi(**options)
        assert "aaaaaaaa" not in str(refused.value)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"routes": {"/mcp": PLAIN}}, r"path='/mcp' and routes\['/mcp'\] are one path"),
            ({"path": "/mcp/", "routes": {"/mcp": PLAIN}}, r"path='/mcp/' and routes\['/mcp'\]"),
            ({"path": "/mcp/", "routes": {"/mcp/": PLAIN}}, r"path='/mcp/' and routes\['/mcp/'\]"),
            ({"path": "/", "routes": {"/": PLAIN}}, r"path='/' and routes\['/'\]"),
            ({"health": "/mcp"}, "path='/mcp' and health='/mcp' .* give another path, or health=None"),
            ({"readiness": "/mcp/"}, "path='/mcp' and readiness='/mcp/' .* or readiness=None"),
            ({"path": "/health"}, "path='/health' and health='/health' are one path"),
            ({"health": "/up", "readiness": "/up"}, "health='/up' and readiness='/up' are one path"),
            ({"health": "/up", "routes": {"/up": PLAIN}}, r"routes\['/up'\] and health='/up' are one path"),
        ],
    )
    def test_one_path_is_one_thing(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(MisuseError, match=text):
            Server("x").asgi(**options)

    def test_paths_that_only_look_alike(self) -> None:
        for options in (
            {"routes": {"/mcp/": PLAIN, "/mcp2": PLAIN, "/": PLAIN}},  # What is below the endpoint is not it.
            {"path": "/health", "health": None},
            {"health": None, "readiness": None},
            {"routes": {"/health": PLAIN}},  # In place of the one that is there by default.
        ):
            assert http_settings(options).path in ("/mcp", "/health")

    @pytest.mark.parametrize("option", ["allowed_origins", "cors_origins"])
    def test_no_pages_may_be_meant(self, option: str) -> None:
        settings = http_settings({option: []})
        assert settings.cors is None
        assert settings.origins.allows(b"http://localhost") == (option == "cors_origins")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"port": 8000, "workers": 2}, "takes port and workers, as in `uvicorn module:app --host"),
            ({"prot": 8000}, r"'prot' \(did you mean 'port'\?\) of an application: the ASGI server"),
        ],
    )
    def test_where_an_application_listens_is_not_its_business(self, options: dict[str, Any], text: str) -> None:
        with pytest.raises(MisuseError, match=text):
            Server("x").asgi(**options)

    @pytest.mark.parametrize(("name", "meant"), [("prot", "port"), ("worker", "workers"), ("max_bodi", "max_body")])
    def test_a_process_knows_where_it_listens(self, name: str, meant: str) -> None:
        with pytest.raises(MisuseError, match=rf"'{name}' \(did you mean '{meant}'\?\); there are .*, host, .*workers"):
            Server("x").run("http", **{name: 5})

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("stateless_http", "sessions=False"), ("json_response", "json_only"), ("streamable_http_path", "path")],
    )
    def test_names_from_elsewhere_are_known(self, name: str, meant: str) -> None:
        with pytest.raises(MisuseError, match=rf"'{name}' \(did you mean '{meant}'\?\); there are "):
            Server("x").asgi(**{name: True})

    @pytest.mark.parametrize("missing", [["httptools"], ["uvicorn", "httptools"]])
    def test_a_process_says_what_is_not_installed(self, missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        for name in missing:
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MisuseError) as refused:
            Server("x").run("http", port=0)
        text = f'HTTP needs {" and ".join(missing)}, which {sys.executable} does not find: pip install "tybalt[http]"'
        assert str(refused.value) == text


class TestVerifiers:
    """What is wrong with one is said at the start, not at the first request."""

    @pytest.mark.parametrize("wrong", ["", object(), lambda token: token, int, type("Empty", (), {"verify": 5})])
    def test_what_has_no_method(self, wrong: Any) -> None:
        kind = wrong.__name__ if isinstance(wrong, type) else type(wrong).__name__
        with pytest.raises(MisuseError, match=rf"verifier: .* `verify\(token\)`, got one of the type {kind}$"):
            http_settings({"verifier": wrong})

    def test_a_class(self) -> None:
        class Directory:
            def verify(self, token: str) -> str | None:
                return token

        with pytest.raises(MisuseError, match=r"Directory is a class; give an object of it, as in verifier=Directory"):
            http_settings({"verifier": Directory})
        assert http_settings({"verifier": Directory()}).is_locked

    def test_a_class_that_is_one_itself(self) -> None:
        class Directory:
            @classmethod
            async def verify(cls, token: str) -> str | None:
                return token

        assert http_settings({"verifier": Directory}).is_locked

    @pytest.mark.parametrize(
        "verify",
        [lambda self: None, lambda self, token, scope: None, lambda self, *, token: None, lambda: None],
    )
    def test_a_method_that_takes_something_else(self, verify: Any) -> None:
        wrong = type("Wrong", (), {"verify": verify})()
        with pytest.raises(MisuseError, match=r"Wrong\.verify is called with the token and nothing else.*: \w"):
            http_settings({"verifier": wrong})

    def test_a_method_that_takes_more_if_it_gets_it(self) -> None:
        class Roomy:
            async def verify(self, token: str, scope: str = "all", *more: str) -> str | None:
                return token

        assert http_settings({"verifier": Roomy()}).is_locked


class TestValues:
    def test_every_option_is_judged(self) -> None:
        assert list(setting_values._READERS) == list(HttpOptions.__annotations__)

    def test_durations_as_text(self) -> None:
        assert http_settings({"session_lifetime": "1h"}).session_lifetime == 3_600

    def test_any_origin(self) -> None:
        assert http_settings({"allowed_origins": ["*"]}).origins.allows(b"https://anything.example")


async def test_a_websocket_is_refused() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Server("x").asgi()({"type": "websocket", "path": "/mcp", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_header_fields_may_be_lists() -> None:
    class Face(AsgiFace):
        def stream(self, method: str, path: str, headers: Any, body: bytes) -> Any:
            return super().stream(method, path, [list(field) for field in headers], body)

    server = Server("x")
    for _ in range(2):
        assert (await Client(Face(server.asgi())).post(LIST, **HEADERS)).status == 200
    await server.drain()


class TestBody:
    async def ask(self, server: Server, messages: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        app = server.asgi(**options)
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = Client(None).headers("POST", b"", {**HEADERS, "content-length": None})
        await app({"type": "http", "method": "POST", "path": "/mcp", "headers": headers}, receive, send)
        await server.drain()
        return sent

    async def test_in_pieces(self) -> None:
        pieces = [
            {"type": "http.request", "body": LIST[at : at + 9], "more_body": True} for at in range(0, len(LIST), 9)
        ]
        (start, _) = await self.ask(Server("x"), [*pieces, {"type": "http.request"}])
        assert start["status"] == 200

    async def test_too_large_a_one_is_not_read_to_its_end(self) -> None:
        endless = [{"type": "http.request", "body": b"x" * 600, "more_body": True} for _ in range(10)]
        (start, _) = await self.ask(Server("x"), endless, max_body=1_000)
        assert start["status"] == 413
        assert len(endless) == 8

    async def test_one_that_does_not_come(self) -> None:
        (start, _) = await self.ask(
            Server("x"), [{"type": "http.request", "body": b"{", "more_body": True}], body_timeout=0.01
        )
        assert start["status"] == 408

    async def test_a_client_that_goes_before_it_has_asked(self) -> None:
        assert await self.ask(Server("x"), [{"type": "http.disconnect"}]) == []
