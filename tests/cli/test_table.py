"""Columns that line up, one line a row, whatever a server sent."""

from tybalt.cli.table import MAX_CELL, MAX_LAST, table


def test_columns_line_up() -> None:
    rows = [["add", "a, b", "Add."], ["漢", "", ""]]
    assert table(["TOOL", "ARGUMENTS", "TEXT"], rows) == "TOOL  ARGUMENTS  TEXT\nadd   a, b       Add.\n漢\n"


def test_of_several_lines_the_first_with_text_counts_and_nothing_steers_the_terminal() -> None:
    assert table(["A", "B"], [["x\x1b[31m", "\n  one\t\nmore"], ["", "\u2028\u202etwo"]]) == (
        "A          B\nx\\x1b[31m  one\n           \\u202etwo\n"
    )


def test_what_is_long_is_cut() -> None:
    first, second = table(["A", "B"], [["a" * 1_000, "b" * 1_000_000]]).splitlines()
    assert second == f"{'a' * (MAX_CELL - 1)}…  {'b' * (MAX_LAST - 1)}…" and first.index("B") == MAX_CELL + 2
    assert table(["A", "B"], [["a", "b" * 50]], width=20).splitlines()[1] == f"a  {'b' * 16}…"
    assert table(["A", "B"], [["a" * 50, "b" * 50]], width=20).splitlines()[1] == f"{'a' * 50}  {'b' * 9}…"
