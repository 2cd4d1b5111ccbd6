"""What is kept of stderr, without a process: bounds, and what a terminal never gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import printable
from tybalt.transports.diagnostics import KEPT, LAST_WORDS, Diagnostics


async def heard(*chunks: bytes, on_line: Callable[[str], object] | None = None) -> Diagnostics:
    diagnostics = Diagnostics(asyncio.get_running_loop(), on_line)
    for chunk in chunks:
        diagnostics.data_received(chunk)
    diagnostics.done(None)
    return diagnostics


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], ""),
        ([b"\n \n"], ""),
        ([b"one\n", b"  two  \r\n", b"three"], "one | two | three"),
        ([b"\xc3", b"\xa9"], "é"),
        ([b"x" * 500], "x" * 500),
        ([b"x" * 501], "…" + "x" * 499),
        ([b"\xff" * 4000], "…" + "\ufffd" * 499),
        ([b"forged\x0blines\x1b]0;title\x07"], r"forged | lines\x1b]0;title\x07"),
        (["turned \u202e".encode()], r"turned \u202e"),
    ],
)
async def test_last_words(chunks: list[bytes], words: str) -> None:
    assert (await heard(*chunks)).last_words == words


@given(st.lists(st.binary(max_size=400), max_size=20))
async def test_whatever_comes_the_words_are_few_and_printable(chunks: list[bytes]) -> None:
    lines: list[str] = []
    diagnostics = await heard(*chunks, on_line=lines.append)
    assert len(diagnostics.last_words) <= LAST_WORDS
    assert diagnostics.last_words.replace("\t", "").isprintable()
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert diagnostics.tail == b"".join(chunks)


async def test_only_the_end_is_held() -> None:
    diagnostics = await heard(*[b"a" * KEPT, b"b" * KEPT, b"c" * 10])
    assert diagnostics.tail == b"b" * (KEPT - 10) + b"c" * 10


def test_what_can_be_printed_stays_as_it_is() -> None:
    assert printable("Größe\t5 µm – ✓", kept="\t") == "Größe\t5 µm – ✓"
