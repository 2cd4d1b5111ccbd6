"""What could have been meant by a name that there is not."""

import pytest

from tybalt.cli.usage import instead, listed, meant_by


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("ad", ["sub", "add"], "add"),
        ("ADD", ["sub", "add"], "add"),
        ("add", ["Sub", "Add"], "Add"),
        ("borrow", ["sub", "add"], None),
        ("add", [], None),
        ("a" * 100_000, ["add"], None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_closest_name_was_meant_if_any_is_close(name: str, names: list[str], found: str | None) -> None:
    assert meant_by(name, names) == found


def test_what_there_is_instead_is_told_in_bounds() -> None:
    names = [f"tool_{number}" for number in range(12)]
    assert instead("borrow", names[:2]) == "it has: tool_0, tool_1"
    assert instead("tool-1", names[:2]) == "did you mean 'tool_1'? It has: tool_0, tool_1"
    assert listed(names) == f"{', '.join(names[:10])} and 2 more"
    assert listed(names[:10]) == ", ".join(names[:10])
    assert listed(["x" * 500]) == f"{'x' * 100}…"
