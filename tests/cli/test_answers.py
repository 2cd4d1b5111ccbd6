"""Answers that are given before a server asks."""

from pathlib import Path

import pytest

from tybalt.cli.answers import MAX_FILE, Answers, read_answers
from tybalt.cli.usage import UsageError


def test_they_come_from_words_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text('{"b": 2}')
    assert read_answers(["a=x=y", "c="], str(file)) == Answers({"a": "x=y", "c": ""}, {"b": 2})
    assert read_answers([], None) == Answers()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a"], "--answer: 'a' is no answer; write NAME=VALUE, such as size=large"),
        (["=a"], "--answer: '=a' is no answer; write NAME=VALUE, such as size=large"),
        (["a=1", "a=2"], "--answer: 'a' is answered twice; answer it once"),
    ],
)
def test_words_that_are_none_are_refused(words: list[str], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_answers(words, None)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"[]", "expected a JSON object of answers by name: Expected `object`, got `array`"),
        (b"{", "expected a JSON object of answers by name: Input data was truncated"),
        (b'{"a": "\xff"}', "expected a JSON object of answers by name: "),
        (b" " * (MAX_FILE + 1), "the file has more than 1,048,576 bytes"),
    ],
    ids=["missing", "array", "truncated", "no text", "large"],
)
def test_a_file_that_is_none_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_answers([], str(file))
    assert str(refused.value).startswith(f"--answers {file}: {told}")
