"""The size limit: exact to the byte, a refusal that says what to do, and text cut where that was asked for."""

import json
from operator import mul
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InternalError, MisuseError, ToolError
from tybalt.middleware import Handler, Request, stacked
from tybalt.middleware.response_limit import MAX_BYTES, ResponseLimit, truncated
from tybalt.types.content import ImageContent, TextContent
from tybalt.types.resources import ReadResourceResult, TextResourceContents
from tybalt.types.tools import CallToolResult

CALL = Request(method="tools/call", name="find")
LENGTHS = st.integers(300, 400)
READ = Request(method="resources/read", name="file:///a")


def answering(result: Any) -> Handler:
    async def handler(request: Request) -> Any:
        return result

    return handler


def of_text(*texts: str, **more: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text) for text in texts], **more)


def size(result: Any) -> int:
    return len(msgspec.json.encode(result))


@pytest.mark.loops
async def test_the_limit_is_exact_to_the_byte() -> None:
    result = of_text("ä" * 100)
    assert await ResponseLimit(size(result))(answering(result))(CALL) is result
    with pytest.raises(ToolError):
        await ResponseLimit(size(result) - 1)(answering(result))(CALL)


@pytest.mark.loops
async def test_a_tool_is_refused_with_a_text_for_the_model() -> None:
    result = of_text("x" * MAX_BYTES)
    with pytest.raises(ToolError) as caught:
        await ResponseLimit()(answering(result))(CALL)
    assert str(caught.value) == (
        f"the result of tools/call find has {size(result):,} bytes; at most 1,000,000 are allowed. "
        "Ask for less: fewer items, fewer fields, a narrower search, or one part at a time"
    )


@pytest.mark.loops
@pytest.mark.parametrize("truncate", [False, True])
async def test_anything_else_is_refused_with_an_error_of_the_protocol(truncate: bool) -> None:
    result = ReadResourceResult(contents=[TextResourceContents(uri="file:///a", text="x" * 200)])
    with pytest.raises(InternalError, match=r"resources/read file:///a has \d+ bytes; at most 100 are") as caught:
        await ResponseLimit(100, truncate=truncate)(answering(result))(READ)
    assert caught.value.code == -32603


@pytest.mark.loops
async def test_a_long_name_is_cut_in_the_refusal() -> None:
    with pytest.raises(InternalError) as caught:
        await ResponseLimit(1)(answering(of_text("")))(READ.replaced(name="x" * 5_000))
    assert len(str(caught.value)) < 300


@pytest.mark.loops
async def test_an_error_of_the_handler_passes() -> None:
    async def failing(request: Request) -> Any:
        raise KeyError("a")

    with pytest.raises(KeyError):
        await ResponseLimit()(failing)(CALL)


@pytest.mark.loops
async def test_several_stacks_may_share_one() -> None:
    limit = ResponseLimit(200)
    small, large = of_text("x"), of_text("x" * 200)
    assert await limit(answering(small))(CALL) is small
    with pytest.raises(ToolError):
        await stacked(answering(large), [limit])(CALL)


@pytest.mark.parametrize("limit", [0, -1, True, 1e6, "1 MB"], ids=repr)
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(MisuseError, match="max_bytes is a number of bytes"):
        ResponseLimit(limit)


class TestTruncate:
    @pytest.mark.loops
    async def test_the_text_is_cut_and_says_so(self) -> None:
        result = of_text("x" * 1_000, is_error=True, meta={"a": 1})
        shorter = await ResponseLimit(300, truncate=True)(answering(result))(CALL)
        text = shorter.content[0].text
        shown = text.index("\n")
        assert text[shown:] == (
            f"\n[cut: the first {shown} of 1,000 characters are shown; a result has at most 300 bytes]"
        )
        assert set(text[:shown]) == {"x"} and shown > 100
        assert (shorter.is_error, shorter.meta) == (True, {"a": 1})
        assert 290 < size(shorter) <= 300

    @pytest.mark.loops
    async def test_what_is_small_enough_is_the_same_object(self) -> None:
        result = of_text("x")
        assert await ResponseLimit(300, truncate=True)(answering(result))(CALL) is result

    @pytest.mark.loops
    @pytest.mark.parametrize(
        "result",
        [
            of_text("x", structured_content={"rows": list(range(500))}),
            CallToolResult(content=[ImageContent(data="A" * 500, mime_type="image/png")]),
            of_text(*[""] * 50),
        ],
        ids=["structured", "picture", "no text"],
    )
    async def test_where_text_is_not_what_is_large_it_is_refused(self, result: CallToolResult) -> None:
        with pytest.raises(ToolError, match="at most 300 are allowed"):
            await ResponseLimit(300, truncate=True)(answering(result))(CALL)

    def test_other_blocks_stay_where_they_are_and_later_texts_are_left_out(self) -> None:
        picture = ImageContent(data="AAAA", mime_type="image/png")
        content = [TextContent(text="first"), picture, TextContent(text="x" * 900), TextContent(text="later"), picture]
        shorter = truncated(CallToolResult(content=content), 500)
        assert shorter is not None
        first, *rest = shorter.content
        assert first == TextContent(text="first") and rest[0] == rest[2] == picture and len(rest) == 3
        assert isinstance(rest[1], TextContent) and rest[1].text.startswith("xxx") and "of 910" in rest[1].text

    def test_a_result_is_not_changed(self) -> None:
        result = of_text("x" * 900)
        truncated(result, 300)
        assert result == of_text("x" * 900)

    @given(
        st.lists(
            st.builds(mul, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), LENGTHS),
            min_size=1,
            max_size=4,
        ),
        st.floats(0.0, 0.999),
    )
    def test_it_fits_is_valid_and_is_a_beginning(self, texts: list[str], share: float) -> None:
        result = of_text(*texts)
        limit = 300 + int((size(result) - 300) * share)
        shorter = truncated(result, limit)
        assert shorter is not None
        said = json.loads(msgspec.json.encode(shorter))
        assert size(shorter) <= limit
        together = "".join(block["text"] for block in said["content"])
        beginning, _, note = together.rpartition("\n[cut: ")
        assert note.endswith(f"at most {limit:,} bytes]")
        assert "".join(texts).startswith(beginning)
        assert note.startswith(f"the first {len(beginning):,} of {sum(map(len, texts)):,} characters")
