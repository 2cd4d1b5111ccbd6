"""How wide a text is on a terminal."""

import pytest

from tybalt.cli.cells import cells, filled, fitted


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("é", 1), ("e\u0301", 1), ("漢字", 4), ("a\u200db", 2)]
)
def test_a_text_has_a_width(text: str, width: int) -> None:
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字漢", 6, "漢字漢"),
        ("漢字漢", 5, "漢字…"),
        ("漢字漢", 4, "漢…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_to_a_width(text: str, width: int, shown: str) -> None:
    assert fitted(text, width) == shown and cells(shown) <= width


def test_a_text_is_filled_to_a_width() -> None:
    assert filled("漢", 4) == "漢  " and filled("abc", 2) == "abc"
