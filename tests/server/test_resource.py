"""Resources and templates: what is read, how variables convert, what is refused, and who may keep it how long."""

import asyncio
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest

from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver
from tests.types.published import validator
from tybalt import (
    Annotations,
    Context,
    File,
    McpError,
    RegistrationError,
    ResourceNotFound,
    Server,
    ToolError,
    resource,
)
from tybalt.server.resource import ResourceTemplate
from tybalt.types.resources import ReadResourceResult, ResourceContents


def reading(driver: Driver, uri: str) -> Any:
    return driver.result("resources/read", {"uri": uri})["contents"]


def refused(driver: Driver, uri: str) -> int:
    return driver.error("resources/read", {"uri": uri})["code"]


def returning(value: Any) -> Any:
    def give() -> Any:
        return value

    return give


class TestContents:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("text", {"mimeType": "text/plain", "text": "text"}),
            (b"\x00\xff", {"mimeType": "application/octet-stream", "blob": "AP8="}),
            ({"a": 1}, {"mimeType": "application/json", "text": '{"a":1}'}),
            (File(data=b"a,b", mime_type="text/csv", name="t.csv"), {"mimeType": "text/csv"}),
        ],
        ids=["text", "bytes", "json", "file"],
    )
    def test_of_every_kind_in_every_revision(self, value: Any, expected: dict[str, str], revision: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource("r://a")(returning(value))), revision)
        result = driver.result("resources/read", {"uri": "r://a"})
        validator(revision, "ReadResourceResult").validate(result)
        (contents,) = result["contents"]
        assert contents["uri"] == "r://a"
        assert expected.items() <= contents.items()

    def test_the_declared_type_is_the_type(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource("r://a", mime_type="text/html")(returning("<p>"))))
        assert reading(driver, "r://a")[0]["mimeType"] == "text/html"

    def test_several_contents_and_a_whole_result(self) -> None:
        parts = [ResourceContents(uri="r://a/1", text="1"), ResourceContents(uri="r://a/2", text="2")]
        whole = ReadResourceResult(contents=parts, ttl_ms=5, cache_scope="public")
        server = Server("x", run_in="loop").add(
            resource("r://a")(returning(parts)), resource("r://b")(returning(whole))
        )
        driver = Driver(server)
        assert [each["uri"] for each in reading(driver, "r://a")] == ["r://a/1", "r://a/2"]
        result = driver.result("resources/read", {"uri": "r://b"})
        assert (len(result["contents"]), result["ttlMs"], result["cacheScope"]) == (2, 5, "public")

    async def test_an_async_one_with_a_context(self) -> None:
        async def give(context: Context) -> str:
            await context.report_progress(1)
            return str(context.request_id)

        driver = Driver(Server("x", run_in="loop").add(resource("r://a")(give)))
        answer = driver.ask("resources/read", {"uri": "r://a"}, id="i")
        (answer,) = [answer] if answer else await driver.later()
        assert answer["result"]["contents"][0]["text"] == "i"


class Color(Enum):
    RED = "red"


def variables(id: int = 0, kind: Literal["a", "b"] = "a", flag: bool = False, color: Color = Color.RED) -> str:
    return f"{id!r} {kind!r} {flag!r} {color.value!r}"


def by_uuid(key: UUID) -> str:
    return str(key.version)


def by_path(path: str) -> str:
    return path


def by_list(items: list[int]) -> list[int]:
    return items


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "function", "uri", "expected"),
        [
            ("v://{id}", variables, "v://7", "7 'a' False 'red'"),
            ("v://{id}/{kind}", variables, "v://-7/b", "-7 'b' False 'red'"),
            ("v://{flag}", variables, "v://true", "0 'a' True 'red'"),
            ("v://x{?id,kind}", variables, "v://x", "0 'a' False 'red'"),
            ("v://x{?id,kind}", variables, "v://x?id=3", "3 'a' False 'red'"),
            ("v://x{?id,kind}", variables, "v://x?id=3&kind=b", "3 'b' False 'red'"),
            ("v://{color}", variables, "v://red", "0 'a' False 'red'"),
            ("u://{key}", by_uuid, "u://12345678-1234-4234-8234-123456789abc", "4"),
            ("f:///{+path}", by_path, "f:///a/b.txt", "a/b.txt"),
            ("f:///{path}", by_path, "f:///a%20b", "a b"),
            ("l://x{/items*}", by_list, "l://x/1/2/3", "[1,2,3]"),
        ],
    )
    def test_variables_become_what_their_parameters_are(
        self, template: str, function: Any, uri: str, expected: str
    ) -> None:
        assert reading(Driver(Server("x", run_in="loop").add(resource(template)(function))), uri)[0]["text"] == expected

    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize(
        ("template", "function", "uri"),
        [
            ("v://{id}", variables, "v://seven"),
            ("v://{id}", variables, "v://1.5"),
            ("v://{id}/{kind}", variables, "v://1/c"),
            ("v://{color}", variables, "v://green"),
            ("u://{key}", by_uuid, "u://1"),
            ("f:///{+path}", by_path, "f:///../secret"),
            ("f:///{+path}", by_path, "f:///a/../../secret"),
            ("f:///{+path}", by_path, "f:///a/%2e%2e/%2e%2e/secret"),
            ("f:///{path}", by_path, "f:///.."),
            ("f:///{path}", by_path, "f:///..%2Fsecret"),
            ("f:///{path}", by_path, "f:///%2Fetc%2Fpasswd"),
            ("f:///{path}", by_path, "f:///a%00b"),
        ],
    )
    def test_what_does_not_convert_or_leaves_its_path_is_not_found(
        self, template: str, function: Any, uri: str, revision: str
    ) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource(template)(function)), revision)
        assert refused(driver, uri) == (-32602 if revision == NEWEST else -32002)

    def test_a_resource_takes_its_defaults(self) -> None:
        assert reading(Driver(Server("x", run_in="loop").add(resource("v://all")(variables))), "v://all")[0][
            "text"
        ] == ("0 'a' False 'red'")


class TestUnchecked:
    """A value that is no path may look like one."""

    def by_branch(self, branch: str, path: str = "") -> str:
        return f"{branch}:{path}"

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("git://feature%2Fx/-/a.txt", "feature/x:a.txt"),
            ("git://..%2F..%2Fetc/-/a.txt", "../../etc:a.txt"),
            ("git://feature%2Fx/-/..", None),
            ("git://feature/x/-/a.txt", None),
        ],
    )
    def test_only_what_is_named_may_hold_anything(self, uri: str, expected: str | None) -> None:
        declared = resource("git://{branch}/-/{path}", unchecked=["branch"])(self.by_branch)
        driver = Driver(Server("x", run_in="loop").add(declared))
        if expected is None:
            assert refused(driver, uri) == -32602
        else:
            assert reading(driver, uri)[0]["text"] == expected

    def test_it_is_checked_where_it_is_not_named(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource("git://{branch}")(self.by_branch)))
        assert refused(driver, "git://feature%2Fx") == -32602

    def test_what_has_no_such_variable_is_refused(self) -> None:
        told = r"by_branch\): unchecked: 'git://\{branch\}' has no variable 'brunch'; it has branch"
        with pytest.raises(RegistrationError, match=told):
            resource("git://{branch}", unchecked={"brunch"})(self.by_branch)
        with pytest.raises(RegistrationError, match=r"give\): unchecked: 'git://all' has no variables; leave it out"):
            resource("git://all", unchecked={"branch"})(returning("x"))


class TestUris:
    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            ("a: b", "URI template 'a: b', position 2: ' ' cannot stand in a URI. Percent-encode it"),
            ("a:}x", "URI template 'a:}x', position 2: this '}' closes nothing"),
            ("a://\0", "cannot stand in a URI"),
            ("a://x\n", "cannot stand in a URI"),
            ("a://100%", "'%' must be followed by two hexadecimal digits"),
            ("a://\ud800", "a lone surrogate is not Unicode text"),
            ("C:\\temp", "cannot stand in a URI"),
            ("1a://x", "begins with '1a', which is no scheme. Use a letter, then"),
            ("a b://x", "begins with 'a b', which is no scheme"),
            ("://x", "begins with '', which is no scheme"),
            ("1a://{id}", "begins with '1a', which is no scheme"),
            ("a://{id", "URI template 'a://{id', position 4: the '{' here is never closed. Add the '}'"),
            ("a://{id}{kind}", "so they cannot be told apart"),
            ("a://{id:3}", "the prefix modifier"),
        ],
    )
    def test_what_is_no_uri_is_refused_with_the_function(self, uri: str, words: str) -> None:
        with pytest.raises(RegistrationError) as caught:
            resource(uri)(variables)
        told = str(caught.value)
        assert told.startswith("resource") and "'variables' (function tests.server.test_resource.variables): " in told
        if not uri.startswith("a://\ud800"):
            assert words in told

    @pytest.mark.parametrize("uri", ["a:b", "urn:isbn:1", "file:///a%20b", "x+y-z.1://a?b=c#d", "a://grün", "{+id}:b"])
    def test_what_is_one_is_taken(self, uri: str) -> None:
        assert resource(uri)(variables).uri == uri

    def test_a_template_that_matches_the_same_uris_is_refused_beside_the_first(self) -> None:
        first = resource("u://{id}")(variables)
        second = resource("u://{path}")(by_path)
        third = resource("u://by-path/{path}")(by_path)
        assert isinstance(first, ResourceTemplate) and isinstance(second, ResourceTemplate)
        assert isinstance(third, ResourceTemplate)
        third.refuse_twin(first)
        with pytest.raises(RegistrationError) as caught:
            second.refuse_twin(first)
        assert str(caught.value) == (
            "resource template 'by_path' (function tests.server.test_resource.by_path): 'u://{path}' matches the same "
            "URIs as 'u://{id}' of resource template 'variables' (function tests.server.test_resource.variables), "
            "which was there first and would answer them all. Take one of the two out, or give one a literal that the "
            "other has not"
        )


class TestHints:
    @pytest.mark.parametrize("uri", ["r://a", "r://{id}"])
    def test_ttl_and_scope_are_of_the_component(self, uri: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource(uri, ttl=1.5, scope="public")(variables)))
        result = driver.result("resources/read", {"uri": uri.replace("{id}", "7")})
        assert (result["ttlMs"], result["cacheScope"]) == (1500, "public")

    def test_nobody_may_keep_what_says_nothing(self) -> None:
        result = Driver(Server("x", run_in="loop").add(resource("r://a")(variables))).result(
            "resources/read", {"uri": "r://a"}
        )
        assert (result["ttlMs"], result["cacheScope"]) == (0, "private")

    @pytest.mark.parametrize("revision", LEGACY)
    def test_legacy_has_none(self, revision: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource("r://a", ttl=5)(variables)), revision)
        assert driver.result("resources/read", {"uri": "r://a"}).keys() == {"contents"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_listed_fits_the_revision(revision: str) -> None:
    options: dict[str, Any] = {
        "name": "n",
        "title": "T",
        "description": "D",
        "mime_type": "text/plain",
        "annotations": Annotations(priority=0.5),
        "meta": {"a/b": 1},
        "tags": ["t"],
    }
    server = Server("x", run_in="loop").add(
        resource("r://a", size=3, **options)(variables), resource("r://{id}", **options)(variables)
    )
    driver = Driver(server, revision)
    for method, name in (
        ("resources/list", "ListResourcesResult"),
        ("resources/templates/list", "ListResourceTemplatesResult"),
    ):
        validator(revision, name).validate(driver.result(method))
    (listed,) = driver.result("resources/list")["resources"]
    assert (listed["name"], listed["size"], listed["annotations"]) == ("n", 3, {"priority": 0.5})


class TestFailures:
    def read(self, error: Exception, revision: str = NEWEST) -> Any:
        def fail() -> str:
            raise error

        return Driver(Server("x", run_in="loop").add(resource("r://a")(fail)), revision).error(
            "resources/read", {"uri": "r://a"}
        )

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_not_found_may_come_from_the_handler(self, revision: str) -> None:
        error = self.read(ResourceNotFound("r://a"), revision)
        assert error["code"] == (-32602 if revision == NEWEST else -32002)

    def test_an_undeclared_one_is_masked(self) -> None:
        error = self.read(ValueError("hunter2"))
        assert error["code"] == -32603 and "hunter2" not in error["message"]
        assert error["message"].startswith("Internal error in resource 'fail'")

    def test_a_declared_one_is_told(self) -> None:
        assert self.read(McpError("gone", code=410)) == {"code": 410, "message": "gone"}
        assert self.read(ToolError("no"))["message"] == "no"

    def test_none_is_no_contents(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(resource("r://a")(returning(None))))
        assert refused(driver, "r://a") == -32603


async def test_a_timeout_is_408() -> None:
    async def forever() -> str:
        await asyncio.Event().wait()
        return ""

    driver = Driver(Server("x", run_in="loop").add(resource("r://a", timeout=0.001)(forever)))
    assert driver.ask("resources/read", {"uri": "r://a"}) is None
    await asyncio.wait(driver.session.running.tasks())
    (answer,) = await driver.later()
    assert answer["error"] == {"code": 408, "message": "resource 'forever' did not finish within its 0.001 s"}
