"""`Answering`: which capabilities are declared, and what the values of a user's functions mean on the wire."""

import asyncio
import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tybalt.client.answering import Answering
from tybalt.errors import McpError, MethodNotFound, MisuseError
from tybalt.protocol.elicited import Accepted, Declined, Dismissed
from tybalt.types.adaptation import adapt
from tybalt.types.capabilities import (
    ClientCapabilities,
    ElicitationCapability,
    RootsCapability,
    SamplingCapability,
)
from tybalt.types.content import TextContent
from tybalt.types.elicitation import ElicitRequestParams, ElicitResult
from tybalt.types.revisions import LATEST_MODERN
from tybalt.types.roots import ListRootsRequestParams, ListRootsResult, Root
from tybalt.types.sampling import CreateMessageRequestParams, CreateMessageResult

FORM = ElicitRequestParams(message="Who?", requested_schema={"type": "object", "properties": {}})
URL = ElicitRequestParams(mode="url", message="Sign in", url="https://x.example")
SAMPLE = CreateMessageRequestParams(messages=[], max_tokens=9)
ROOTS = ListRootsRequestParams()


class Person(msgspec.Struct, rename="camel"):
    first_name: str
    age: int = 36


@dataclasses.dataclass
class Place:
    city: str


def declared(answering: Answering) -> Any:
    return adapt(answering.capabilities, LATEST_MODERN)


class TestCapabilities:
    def test_what_is_given_is_declared(self) -> None:
        assert declared(Answering()) == {}
        assert declared(Answering(on_elicit=print)) == {"elicitation": {"form": {}, "url": {}}}
        assert declared(Answering(on_elicit=print, elicit_modes=["form"])) == {"elicitation": {"form": {}}}
        assert declared(Answering(on_elicit=print, elicit_modes=("url",))) == {"elicitation": {"url": {}}}
        assert declared(Answering(on_sample=print)) == {"sampling": {}}
        assert declared(Answering(on_sample=print, sample_tools=True)) == {"sampling": {"tools": {}}}
        assert declared(Answering(roots=[])) == declared(Answering(roots=list)) == {"roots": {}}

    def test_more_may_be_declared_by_hand(self) -> None:
        by_hand = ClientCapabilities(
            elicitation=ElicitationCapability(form={}),
            sampling=SamplingCapability(context={}),
            roots=RootsCapability(list_changed=True),
            extensions={"x/y": {}},
        )
        alone = Answering(capabilities=by_hand)
        assert alone.capabilities == by_hand
        both = Answering(print, print, [], elicit_modes=["url"], capabilities=by_hand).capabilities
        assert both.extensions == {"x/y": {}} and both.announces_roots and both.samples_with_context
        assert both.elicits_urls and not both.elicits_forms

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"on_elicit": 5}, "on_elicit: expected a function"),
            ({"on_sample": "x"}, "on_sample: expected a function"),
            ({"on_elicit": print, "elicit_modes": ["voice"]}, "elicit_modes: expected a list of 'form', 'url' or both"),
            ({"elicit_modes": "form"}, "elicit_modes: expected a list of 'form', 'url' or both, got 'form'"),
            ({"elicit_modes": 5}, "elicit_modes: expected a list"),
            ({"on_elicit": print, "elicit_modes": []}, "elicit_modes: expected"),
            ({"roots": "/srv"}, "roots: expected a list"),
            ({"roots": Path("srv")}, "roots: expected a list"),
            ({"roots": Root(uri="file:///srv")}, "roots: expected a list"),
            ({"roots": 5}, "roots: expected a list"),
            ({"roots": ["https://x.example"]}, "roots: expected a path, a `file:` URI or a Root"),
            ({"roots": [b"/srv"]}, "roots: expected a path"),
            ({"roots": [5]}, "roots: expected a path"),
        ],
    )
    def test_what_means_nothing_is_refused(self, options: Any, text: str) -> None:
        with pytest.raises(MisuseError, match=text):
            Answering(**options)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asynchronous"])
class TestElicitation:
    async def answer(self, value: Any, question: ElicitRequestParams, asynchronous: bool) -> Any:
        heard: list[Any] = []

        def plain(question: ElicitRequestParams) -> Any:
            heard.append(question)
            return value

        async def later(question: ElicitRequestParams) -> Any:
            await asyncio.sleep(0)
            return plain(question)

        answer = await Answering(on_elicit=later if asynchronous else plain).answer(question)
        assert heard == [question]
        return answer

    @pytest.mark.parametrize(
        ("value", "content"),
        [
            ({"name": "Ada", "age": 36, "admin": True, "share": 0.5, "tags": ["a"]},) * 2,
            ({}, {}),
            (Person("Ada"), {"firstName": "Ada", "age": 36}),
            (Place("Paris"), {"city": "Paris"}),
        ],
    )
    async def test_a_form_that_was_filled_in(self, value: Any, content: Any, asynchronous: bool) -> None:
        answer = await self.answer(value, FORM, asynchronous)
        assert adapt(answer, LATEST_MODERN) == {"action": "accept", "content": content}

    async def test_a_model_of_pydantic_is_a_form_too(self, asynchronous: bool) -> None:
        pydantic = pytest.importorskip("pydantic")
        model = pydantic.create_model("Form", city=(str, ...), since=(str, pydantic.Field(alias="from")))
        answer = await self.answer(model(city="Paris", **{"from": "1900"}), FORM, asynchronous)
        assert answer.content == {"city": "Paris", "from": "1900"}
        with pytest.raises(MisuseError, match="expected the values by name"):
            await self.answer(model, FORM, asynchronous)

    @pytest.mark.parametrize("question", [FORM, URL])
    @pytest.mark.parametrize("value", [None, False])
    async def test_no(self, question: ElicitRequestParams, value: Any, asynchronous: bool) -> None:
        assert adapt(await self.answer(value, question, asynchronous), LATEST_MODERN) == {"action": "decline"}

    @pytest.mark.parametrize("question", [FORM, URL])
    async def test_a_whole_result_is_as_it_is(self, question: ElicitRequestParams, asynchronous: bool) -> None:
        result = ElicitResult(action="cancel")
        assert await self.answer(result, question, asynchronous) is result

    @pytest.mark.parametrize("question", [FORM, URL])
    @pytest.mark.parametrize(("value", "action"), [(Declined(), "decline"), (Dismissed(), "cancel")])
    async def test_a_no_may_be_what_a_handler_would_get(
        self, question: ElicitRequestParams, value: Any, action: str, asynchronous: bool
    ) -> None:
        assert adapt(await self.answer(value, question, asynchronous), LATEST_MODERN) == {"action": action}

    @pytest.mark.parametrize(
        ("value", "content"),
        [
            (2, {"number": 2}),
            (False, {"number": False}),
            (date(2026, 7, 28), {"number": "2026-07-28"}),
            (None, {}),
            ({"number": 3}, {"number": 3}),
            (Person("Ada"), {"firstName": "Ada", "age": 36}),
        ],
    )
    async def test_so_may_a_yes(self, value: Any, content: Any, asynchronous: bool) -> None:
        question = ElicitRequestParams(message="?", requested_schema={"properties": {"number": {}}})
        answer = await self.answer(Accepted(value), question, asynchronous)
        assert adapt(answer, LATEST_MODERN) == {"action": "accept", "content": content}

    @pytest.mark.parametrize("value", [None, True])
    async def test_and_a_consent(self, value: Any, asynchronous: bool) -> None:
        assert adapt(await self.answer(Accepted(value), URL, asynchronous), LATEST_MODERN) == {"action": "accept"}

    async def test_a_consent_has_no_content(self, asynchronous: bool) -> None:
        assert adapt(await self.answer(True, URL, asynchronous), LATEST_MODERN) == {"action": "accept"}

    @pytest.mark.parametrize(
        ("value", "question", "text"),
        [
            (True, FORM, "expected the values by name .* got True"),
            ("Ada", FORM, "expected the values by name .* got 'Ada'"),
            (Person, FORM, "expected the values by name .* got <class"),
            ({"a": {"b": 1}}, FORM, r"lists of texts; .*\$\.content"),
            ({"a": object()}, FORM, "lists of texts; .*object"),
            ({"a": [1]}, FORM, r"lists of texts; .*\$\.content"),
            (Accepted(2), FORM, "expected the values by name .* got 2"),
            (Accepted(False), URL, "True for a consent, .* in URL mode, got False"),
            ({"a": 1}, URL, "True for a consent, .* in URL mode, got {'a': 1}"),
        ],
    )
    async def test_what_means_nothing_is_refused(
        self, value: Any, question: ElicitRequestParams, text: str, asynchronous: bool
    ) -> None:
        with pytest.raises(MisuseError, match=f"^on_elicit: .*{text}"):
            await self.answer(value, question, asynchronous)


class TestSampling:
    async def test_a_text_or_a_whole_result(self) -> None:
        answer = await Answering(on_sample=lambda question: "4").answer(SAMPLE)
        assert adapt(answer, LATEST_MODERN) == {
            "role": "assistant",
            "content": {"type": "text", "text": "4"},
            "model": "unknown",
        }
        whole = CreateMessageResult(role="assistant", content=TextContent(text="4"), model="m", stop_reason="endTurn")
        assert await Answering(on_sample=lambda question: whole).answer(SAMPLE) is whole

    async def test_no_is_an_error(self) -> None:
        """2025-11-25 client/sampling, "Error Handling": -1."""
        with pytest.raises(McpError, match="User rejected sampling request") as refused:
            await Answering(on_sample=lambda question: None).answer(SAMPLE)
        assert refused.value.code == -1

    async def test_what_means_nothing_is_refused(self) -> None:
        with pytest.raises(MisuseError, match=r"on_sample: expected a CreateMessageResult, a text, .* got 5"):
            await Answering(on_sample=lambda question: 5).answer(SAMPLE)


class TestRoots:
    async def test_paths_uris_and_roots(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        named = Root(uri="file:///c", name="C")
        answer = await Answering(roots=[tmp_path / "a b", "d", "file:///b", named]).answer(ROOTS)
        assert isinstance(answer, ListRootsResult)
        uris = [(tmp_path / "a b").as_uri(), (tmp_path / "d").as_uri(), "file:///b", "file:///c"]
        assert [each.uri for each in answer.roots] == uris and answer.roots[-1] is named
        assert uris[0].startswith("file:///") and uris[0].endswith("/a%20b")

    async def test_a_function_is_asked_each_time(self) -> None:
        places = ["file:///a"]
        answering = Answering(roots=lambda: places)
        places.append("file:///b")
        answer = await answering.answer(ROOTS)
        assert isinstance(answer, ListRootsResult) and len(answer.roots) == 2

        async def later() -> list[str]:
            return places

        assert await Answering(roots=later).answer(ROOTS) == answer
        with pytest.raises(MisuseError, match="roots: expected a list"):
            await Answering(roots=lambda: "file:///a").answer(ROOTS)


@pytest.mark.parametrize(("question", "name"), [(FORM, "on_elicit"), (SAMPLE, "on_sample"), (ROOTS, "roots")])
async def test_what_nobody_answers_is_told(question: Any, name: str) -> None:
    with pytest.raises(MethodNotFound, match=f"this client has no `{name}`"):
        await Answering().answer(question)
