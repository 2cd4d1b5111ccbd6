"""The catalogue: order, duplicates, pages and cursors in both eras, lists kept as bytes, who answers to a URI."""

import gc
import warnings
from typing import Any

import pytest

from tests.protocol.conversations import legacy, modern
from tests.server.driving import NEWEST, REVISIONS, Driver
from tybalt import RegistrationError, ResourceNotFound, Server, prompt, resource, tool
from tybalt.protocol.cursors import encode_cursor
from tybalt.server.catalogue import Catalogue, kind_and_key
from tybalt.types.implementation import Implementation

LISTS = {
    "tools/list": ("tools", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
    "prompts/list": ("prompts", "name"),
}


def named(name: str) -> Any:
    def handler() -> str:
        return name

    handler.__name__ = name
    return handler


def catalogue(**options: Any) -> Catalogue:
    return Catalogue(Implementation(name="x", version="1"), **options)


def stocked(count: int, **options: Any) -> Server:
    """A server with `count` entries in each list, in an order that is not that of their keys."""
    server = Server("x", run_in="loop", **options)
    for number in reversed(range(count)):
        server.add(tool(f"t{number:03}")(named("tool")), prompt(f"p{number:03}")(named("prompt")))
        server.resource(f"r://{number:03}")(named("resource"))
        server.resource(f"t://{number:03}/{{id}}")(lambda_of_id)
    return server


def lambda_of_id(id: str) -> str:
    return id


class TestDuplicates:
    def test_an_error_names_the_key_and_the_remedy(self) -> None:
        server = Server("x", run_in="loop").add(named("a"))
        with pytest.raises(RegistrationError, match=r"tool called 'a' is there already.*another name.*on_duplicate="):
            server.add(named("a"))

    def test_a_warning_points_at_the_second_declaration_and_the_first_stays(self) -> None:
        server = Server("x", run_in="loop", on_duplicate="warn").add(
            tool("a")(named("first")), prompt("a")(named("first"))
        )
        for declare in (
            lambda: server.tool("a")(named("second")),
            lambda: server.add(tool("a")(named("third"))),
            lambda: server.prompt("a")(named("second")),
        ):
            with pytest.warns(UserWarning, match="'a' is there already; the first one stays") as caught:
                declare()
            assert [warning.filename for warning in caught] == [__file__]
        assert Driver(server).call("a")["structuredContent"] == "first"

    def test_the_new_one_may_replace_it_in_its_place(self) -> None:
        server = Server("x", run_in="loop", on_duplicate="replace").add(tool("a")(named("first")), named("b"))
        driver = Driver(server)
        driver.call("a")
        server.tool("a")(named("second"))
        assert driver.call("a")["structuredContent"] == "second"
        assert [each["name"] for each in driver.result("tools/list")["tools"]] == ["a", "b"]

    def test_the_new_one_may_be_ignored(self) -> None:
        server = Server("x", run_in="loop", on_duplicate="ignore").add(tool("a")(named("first")))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            server.tool("a")(named("second"))
        assert Driver(server).call("a")["structuredContent"] == "first"

    def test_one_name_may_be_a_tool_and_a_prompt(self) -> None:
        server = Server("x", run_in="loop").add(tool(named("a")), prompt(named("a")))
        assert Driver(server).call("a")["structuredContent"] == "a"

    def test_one_uri_is_one_resource(self) -> None:
        server = Server("x", run_in="loop").add(resource("r://1")(named("a")))
        with pytest.raises(RegistrationError, match="resource called 'r://1' is there already"):
            server.add(resource("r://1")(named("b")))


class TestPages:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("method", LISTS)
    def test_all_pages_hold_every_entry_once(self, revision: str, method: str) -> None:
        driver = Driver(stocked(7, page_size=3), revision)
        key, identity = LISTS[method]
        sizes, found, cursor = list[int](), list[str](), None
        while True:
            page = driver.result(method, {} if cursor is None else {"cursor": cursor})
            sizes.append(len(page[key]))
            found += [each[identity] for each in page[key]]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        assert sizes == [3, 3, 1]
        assert len(set(found)) == 7 and found == sorted(found)

    @pytest.mark.parametrize("method", LISTS)
    def test_one_page_keeps_the_order_of_declaration(self, method: str) -> None:
        key, identity = LISTS[method]
        page = Driver(stocked(4)).result(method)
        found = [each[identity] for each in page[key]]
        assert found == sorted(found, reverse=True) and "nextCursor" not in page

    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("method", LISTS)
    @pytest.mark.parametrize(
        "cursor",
        ["", "nonsense", "AAAA", "☃", encode_cursor("other", "t001"), "x" * 5_000],
        ids=["empty", "nonsense", "zeros", "snowman", "foreign", "long"],
    )
    def test_a_cursor_that_is_not_of_the_list_is_invalid(self, cursor: str, method: str, revision: str) -> None:
        error = Driver(stocked(3, page_size=2), revision).error(method, {"cursor": cursor})
        assert error["code"] == -32602 and error["message"].startswith("Invalid cursor")

    def test_a_cursor_between_entries_is_a_place_like_any_other(self) -> None:
        driver = Driver(stocked(5, page_size=2))
        page = driver.result("tools/list", {"cursor": encode_cursor("tools", "t002 and more")})
        assert [each["name"] for each in page["tools"]] == ["t003", "t004"]

    def test_what_is_added_or_removed_between_two_pages_moves_nothing(self) -> None:
        server = stocked(6, page_size=2)
        driver = Driver(server)
        cursor = driver.result("tools/list")["nextCursor"]
        server.handle("tool", "t001").remove()
        server.add(named("t0015"))
        page = driver.result("tools/list", {"cursor": cursor})
        assert [each["name"] for each in page["tools"]] == ["t0015", "t002"]

    def test_cursors_of_clients_are_answered_but_not_kept(self) -> None:
        kept = catalogue(page_size=1)
        for name in "abc":
            kept.add(tool(named(name)))
        first = kept.page("tool", NEWEST, None)
        for number in range(50):
            kept.page("tool", NEWEST, encode_cursor("tools", f"a{number}"))
        assert kept.page("tool", NEWEST, None) is first
        assert len(kept._pages["tool", NEWEST]) <= 4  # pyright: ignore[reportPrivateUsage]


class TestBytes:
    @pytest.mark.parametrize("method", LISTS)
    def test_a_list_is_encoded_once_until_it_changes(self, method: str) -> None:
        server = stocked(3)
        session = Driver(server).session
        request = modern(method, id=1)
        first = session.receive(request)
        assert session.receive(request) == first == Driver(server).session.receive(request)
        for kind in ("tool", "resource", "template", "prompt"):
            page = server.catalogue.page(kind, NEWEST, None)
            assert server.catalogue.page(kind, NEWEST, None) is page
        handle = server.tool(named("new"))
        assert (session.receive(request) == first) is (method != "tools/list")
        handle.remove()
        assert session.receive(request) == first

    def test_each_revision_has_its_own(self) -> None:
        server = stocked(2)
        oldest, newest = Driver(server, "2024-11-05"), Driver(server)
        newest_list, oldest_list = newest.result("tools/list"), oldest.result("tools/list")
        assert "outputSchema" in newest_list["tools"][0] and "outputSchema" not in oldest_list["tools"][0]
        assert (newest_list["ttlMs"], newest_list["cacheScope"]) == (0, "public")
        assert oldest_list.keys() == {"tools"}

    def test_the_hints_are_the_servers(self) -> None:
        found = Driver(stocked(1, ttl=1.5, scope="private")).result("prompts/list")
        assert (found["ttlMs"], found["cacheScope"]) == (1500, "private")


class TestReading:
    def test_exact_before_template_and_most_literal_first(self) -> None:
        server = Server("x", run_in="loop")
        server.resource("users://{id}")(lambda_of_id)
        server.resource("users://{id}/profile")(lambda_of_id)
        server.resource("users://{+id}")(lambda_of_id)
        server.resource("users://me/{id}")(lambda_of_id)
        server.resource("users://me")(named("exact"))
        find = server.catalogue.find_resource

        def found(uri: str) -> tuple[str, dict[str, Any]]:
            match = find(uri)
            assert match is not None
            return match[0].key, match[1]

        assert found("users://me") == ("users://me", {})
        assert found("users://7") == ("users://{id}", {"id": "7"})
        assert found("users://7/profile") == ("users://{id}/profile", {"id": "7"})
        assert found("users://me/7") == ("users://me/{id}", {"id": "7"})
        assert found("users://a/b/c") == ("users://{+id}", {"id": "a/b/c"})
        assert find("posts://7") is None
        with pytest.raises(ResourceNotFound):
            server.catalogue.resource_call("posts://7")

    def test_what_is_disabled_is_not_found(self) -> None:
        server = Server("x", run_in="loop")
        exact = server.resource("users://me")(named("exact"))
        server.resource("users://{id}")(lambda_of_id)
        exact.disable()
        match = server.catalogue.find_resource("users://me")
        assert match is not None and match[1] == {"id": "me"}

    def test_the_kind_and_key_of_a_declaration(self) -> None:
        assert kind_and_key(tool(named("a"))) == ("tool", "a")
        assert kind_and_key(resource("t://{id}")(lambda_of_id)) == ("template", "t://{id}")

    def test_the_answers_of_a_revision_are_the_same_pieces(self) -> None:
        assert catalogue().answers(NEWEST).revision == NEWEST


class TestWatching:
    def test_watchers_are_told_in_their_order_until_they_go(self) -> None:
        told: list[str] = []

        class Watcher:
            def __init__(self, name: str) -> None:
                self.name = name

            def catalogue_changed(self, name: str) -> None:
                told.append(f"{self.name} {name}")

        watched = catalogue()
        watchers = [Watcher(str(number)) for number in range(20)]
        for watcher in watchers:
            watched.watch(watcher)
        watched.add(resource("t://{id}")(lambda_of_id))
        assert told == [f"{number} resources" for number in range(20)]
        watched.unwatch(watchers[0])
        watched.unwatch(watchers[0])
        del watchers[1:], watcher
        gc.collect()
        told.clear()
        watched.add(prompt(named("a")))
        assert told == [] and watched.watching() == ()

    def test_a_session_that_nobody_keeps_is_not_told(self) -> None:
        server = Server("x", run_in="loop")
        Driver(server).session.receive(legacy("ping"))
        gc.collect()
        assert server.catalogue.watching() == (server,)
