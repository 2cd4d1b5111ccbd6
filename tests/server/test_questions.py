"""Questions as values: how each is put on the wire in every revision, and how its answer is read."""

from typing import Any, Literal

import msgspec
import pytest

from tests.types.published import validator
from tybalt import Accepted, Declined, Dismissed, Elicit, InvalidParams, MisuseError, Roots, Sample
from tybalt.errors import InvalidRequest, MissingClientCapability
from tybalt.server.questions import checked_questions, worded_for
from tybalt.types.content import ImageContent, TextContent
from tybalt.types.elicitation import ElicitResult
from tybalt.types.roots import ListRootsResult, Root
from tybalt.types.sampling import CreateMessageResult, SamplingMessage, ToolChoice
from tybalt.types.tools import Tool

TOOL = Tool(name="add", input_schema={"type": "object"})


def written(question: Any) -> dict[str, Any]:
    """A question as a modern result has it."""
    return msgspec.json.decode(msgspec.json.encode(question.request()))


class TestElicit:
    def test_a_form(self) -> None:
        assert written(Elicit("How many?", int)) == {
            "method": "elicitation/create",
            "params": {
                "message": "How many?",
                "requestedSchema": {
                    "type": "object",
                    "properties": {"value": {"type": "integer"}},
                    "required": ["value"],
                },
            },
        }

    def test_a_text_where_nothing_is_said(self) -> None:
        assert Elicit("Name?").read(ElicitResult(action="accept", content={"value": "Ada"})) == Accepted("Ada")

    def test_a_url(self) -> None:
        question: Elicit[None] = Elicit("Sign in", url="https://a.example/login")
        params = {"mode": "url", "message": "Sign in", "url": "https://a.example/login"}
        assert written(question) == {"method": "elicitation/create", "params": params}
        assert question.read(ElicitResult(action="accept")) == Accepted(None)

    @pytest.mark.parametrize(("action", "read"), [("decline", Declined()), ("cancel", Dismissed())])
    @pytest.mark.parametrize("question", [Elicit("?", int), Elicit("?", url="https://a.example")], ids=["form", "url"])
    def test_a_no(self, question: Elicit[Any], action: Any, read: Any) -> None:
        assert question.read(ElicitResult(action=action, content={"value": 1})) == read
        assert not read.accepted and Accepted(0).accepted

    def test_three_outcomes_to_match(self) -> None:
        def told(outcome: Any) -> str:
            match outcome:
                case Accepted(value):
                    return f"{value}"
                case Declined():
                    return "no"
                case Dismissed():
                    return "closed"
            raise AssertionError(outcome)

        assert [told(each) for each in (Accepted(3), Declined(), Dismissed())] == ["3", "no", "closed"]

    @pytest.mark.parametrize("content", [None, {}, {"value": "x"}])
    def test_a_yes_that_does_not_fit(self, content: Any) -> None:
        with pytest.raises(InvalidParams, match=r"does not fit what it was asked: \$\.content\.value"):
            Elicit("?", int).read(ElicitResult(action="accept", content=content))

    def test_what_no_form_can_ask_for_is_told_at_once(self) -> None:
        with pytest.raises(MisuseError, match="a form cannot ask for dict"):
            Elicit("?", dict)


class TestSample:
    def test_one_text(self) -> None:
        params = {"messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}], "maxTokens": 1000}
        assert written(Sample("Hi")) == {"method": "sampling/createMessage", "params": params}

    def test_all_options(self) -> None:
        picture = SamplingMessage(role="assistant", content=ImageContent(data="AAAA", mime_type="image/png"))
        question = Sample(
            ["Hi", picture],
            max_tokens=5,
            system_prompt="Be brief.",
            temperature=0.5,
            stop_sequences=["."],
            hints=["small", "any"],
            tools=[TOOL],
            tool_choice=ToolChoice(mode="auto"),
        )
        params = written(question)["params"]
        validator("2026-07-28", "CreateMessageRequestParams").validate(params)
        assert params["modelPreferences"] == {"hints": [{"name": "small"}, {"name": "any"}]}
        assert [each["role"] for each in params["messages"]] == ["user", "assistant"]
        assert params.items() >= {"maxTokens": 5, "systemPrompt": "Be brief.", "temperature": 0.5}.items()
        assert (params["stopSequences"], params["toolChoice"]) == (["."], {"mode": "auto"})

    @pytest.mark.parametrize("content", ["Hi", {"type": "text", "text": "Hi"}])
    def test_a_message_may_be_a_mapping(self, content: Any) -> None:
        message = {"role": "assistant", "content": content}
        shown = [{"role": "assistant", "content": {"type": "text", "text": "Hi"}}]
        assert written(Sample(message))["params"]["messages"] == shown
        assert written(Sample(["And?", message]))["params"]["messages"][1:] == shown

    @pytest.mark.parametrize(
        ("messages", "text"),
        [
            (5, "sample: expected a text, a SamplingMessage, a mapping such as .*; got 5"),
            ([None], "; got None"),
            (b"Hi", "; got b'Hi'"),
            ({"role": "wizard", "content": "Hi"}, r"is no message: Invalid enum value 'wizard' - at `\$.role`"),
            ([{"content": "Hi"}], "is no message: Object missing required field `role`"),
        ],
    )
    def test_what_is_no_message(self, messages: Any, text: str) -> None:
        with pytest.raises(MisuseError, match=text):
            Sample(messages)

    def test_nothing_to_answer(self) -> None:
        with pytest.raises(MisuseError, match="there is no message to answer"):
            Sample([])

    def test_the_answer_comes_as_it_is(self) -> None:
        result = CreateMessageResult(role="assistant", content=TextContent(text="4"), model="m")
        assert Sample("2+2?").read(result) is result


class TestRoots:
    def test_it_asks_and_reads(self) -> None:
        assert written(Roots()) == {"method": "roots/list"}
        assert Roots().read(ListRootsResult(roots=[Root(uri="file:///a")])) == [Root(uri="file:///a")]


class TestOlderRevisions:
    @pytest.mark.parametrize(
        ("question", "since", "required"),
        [
            (Elicit("?", int), "2025-06-18", {"elicitation": {}}),
            (Elicit("?", url="https://a.example"), "2025-11-25", {"elicitation": {"url": {}}}),
            (Sample("?", tools=[TOOL]), "2025-11-25", {"sampling": {"tools": {}}}),
        ],
        ids=["form", "url", "sampling with tools"],
    )
    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    def test_what_a_revision_lacks_is_a_capability_that_is_missing(
        self, question: Any, since: str, required: dict[str, Any], revision: str
    ) -> None:
        if revision >= since:
            worded = worded_for(question.request(), revision, "id-1")
            assert getattr(worded.params, "elicitation_id", None) == ("id-1" if "url" in str(required) else None)
            return
        with pytest.raises(MissingClientCapability) as caught:
            worded_for(question.request(), revision, "id-1")
        lacking = {"elicitation": {}} if "elicitation" in required and revision < "2025-06-18" else required
        assert caught.value.data == {"requiredCapabilities": lacking}

    @pytest.mark.parametrize("question", [Sample("?"), Roots()], ids=["sampling", "roots"])
    def test_the_others_are_as_old_as_the_protocol(self, question: Any) -> None:
        request = question.request()
        assert worded_for(request, "2024-11-05", "id") is request

    def test_a_form_of_2025_06_18(self) -> None:
        class Form(msgspec.Struct):
            number: int = 3

        request = worded_for(Elicit("?", Form).request(), "2025-06-18", "id")
        assert request.params.requested_schema["properties"] == {"number": {"type": "integer"}}
        request = worded_for(Elicit("?", Form).request(), "2025-11-25", "id")
        assert request.params.requested_schema["properties"] == {"number": {"type": "integer", "default": 3}}
        with pytest.raises(InvalidRequest, match="no field for several choices, as 'value'"):
            worded_for(Elicit("?", list[Literal["a", "b"]]).request(), "2025-06-18", "id")


class TestWhatIsAQuestion:
    def test_there_must_be_one(self) -> None:
        with pytest.raises(MisuseError, match=r"there is nothing to ask; pass questions by name: ask\(name="):
            checked_questions({})

    @pytest.mark.parametrize("given", ["Your name?", 5, None, int, Roots])
    def test_and_nothing_else(self, given: Any) -> None:
        with pytest.raises(MisuseError, match=r"who is no question but .*: expected Elicit\(…\), Sample\(…\) or Roots"):
            checked_questions({"who": given})
