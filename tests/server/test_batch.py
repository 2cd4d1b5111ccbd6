"""`BatchAnswers`: one array when the last answer is there, nothing where nothing was asked."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tybalt.server.batch import BatchAnswers


def test_what_is_there_at_once() -> None:
    answers = BatchAnswers()
    answers.add(b"1")
    answers.add(None)
    answers.add(b"2")
    assert answers.close() == b"[1,2]"


def test_nothing_at_all() -> None:
    assert BatchAnswers().close() is None


def test_what_comes_later() -> None:
    answers = BatchAnswers()
    answers.expect()
    answers.expect()
    answers.add(b"1")
    assert answers.close() is None
    assert answers.settle(None) is None
    assert answers.settle(b"2") == b"[1,2]"


def test_what_comes_before_the_end_of_the_batch_waits_for_it() -> None:
    answers = BatchAnswers()
    answers.expect()
    assert answers.settle(b"1") is None
    assert answers.close() == b"[1]"


@given(
    st.lists(st.tuples(st.sampled_from(["at once", "later", "never"]), st.integers(0, 99)), max_size=8), st.randoms()
)
def test_every_answer_is_in_the_one_array_whatever_the_order(elements: list[tuple[str, int]], order: Random) -> None:
    answers, pending, sent = BatchAnswers(), list[bytes | None](), list[bytes]()
    for when, number in elements:
        if when == "at once":
            answers.add(b"%d" % number)
        else:
            answers.expect()
            pending.append(b"%d" % number if when == "later" else None)
    sent += [whole] if (whole := answers.close()) is not None else []
    order.shuffle(pending)
    for answer in pending:
        sent += [whole] if (whole := answers.settle(answer)) is not None else []
    expected = sorted(number for when, number in elements if when != "never")
    assert [sorted(msgspec.json.decode(each)) for each in sent] == ([expected] if expected else [])
