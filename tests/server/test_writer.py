"""Writers: the short road for scalars writes what the general one would, in every revision."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.driving import REVISIONS
from tybalt.protocol.answers import Answers
from tybalt.server.results import ResultShape, compile_result
from tybalt.server.writer import compile_writer
from tybalt.types.implementation import Implementation
from tybalt.types.output_schema import is_wrapped

SERVER = Implementation(name="x", version="1")


def shape_of(annotation: Any) -> ResultShape:
    def handler() -> Any: ...

    handler.__annotations__["return"] = annotation
    return compile_result(handler, where="tool 'x' (function x)")


def generally(shape: ResultShape, answers: Answers) -> Callable[[int | str, Any], bytes]:
    wrapped = None if shape.schema is None else is_wrapped(shape.schema)
    return lambda request_id, value: answers.result(request_id, shape.result(value), wrapped=wrapped)


ids = st.integers() | st.text(max_size=8)
scalars = {int: st.integers(), bool: st.booleans(), str: st.text(max_size=12)}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("annotation", [int, bool, str])
def test_the_short_road_leads_where_the_long_one_does(annotation: type, revision: str) -> None:
    answers = Answers(revision, SERVER)
    shape = shape_of(annotation)
    writer = compile_writer(shape, answers)
    long_road = generally(shape, answers)

    @given(ids, scalars[annotation])
    def check(request_id: int | str, value: Any) -> None:
        assert msgspec.json.decode(writer.write(request_id, value)) == msgspec.json.decode(long_road(request_id, value))

    check()


@pytest.mark.parametrize("revision", REVISIONS)
def test_only_numbers_and_booleans_that_become_structured_content_have_pieces(revision: str) -> None:
    answers = Answers(revision, SERVER)
    for annotation in (int, bool):
        expected = compile_writer(shape_of(annotation), answers).expected
        assert expected is (None if revision < "2025-06-18" else annotation)
    for annotation in (str, float, list[int], None, dict[str, int], int | None):
        assert compile_writer(shape_of(annotation), answers).expected is None


@pytest.mark.parametrize("revision", REVISIONS)
def test_text_that_cannot_be_encoded_is_made_valid(revision: str) -> None:
    written = compile_writer(shape_of(str), Answers(revision, SERVER)).write(1, "a\ud800b")
    assert msgspec.json.decode(written)["result"]["content"][0]["text"] == "a\ufffdb"


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, type("Level", (int,), {})(3)), (str, type("Text", (str,), {})("a"))],
    ids=["int", "str"],
)
def test_what_is_not_exactly_of_the_type_takes_the_long_road(annotation: type, value: Any, revision: str) -> None:
    answers = Answers(revision, SERVER)
    shape = shape_of(annotation)
    written = msgspec.json.decode(compile_writer(shape, answers).write(1, value))
    assert written == msgspec.json.decode(generally(shape, answers)(1, value))
