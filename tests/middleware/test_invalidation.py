"""What a change concerns: a list and what its entries answer, a resource and the folders it lies in."""

from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.middleware.invalidation import BELONGING, Concerns, Invalidated
from tybalt.middleware.middleware import OPERATIONS


class Memory(Invalidated):
    """It remembers methods and names."""

    def __init__(self, *known: tuple[str, str | None]) -> None:
        self.known = set(known)

    def _forget(self, concerns: Concerns) -> None:
        self.known = {each for each in self.known if not concerns(*each)}


EVERYTHING = tuple((method, None if method.endswith("list") else "a") for method in OPERATIONS)


@pytest.mark.parametrize("catalogue", BELONGING)
def test_a_list_that_changed_takes_with_it_what_belongs_to_it(catalogue: Any) -> None:
    memory = Memory(*EVERYTHING)
    memory.catalogue_changed(catalogue)
    assert {method for method, _ in memory.known} == OPERATIONS.keys() - BELONGING[catalogue]


def test_every_operation_belongs_to_a_list() -> None:
    assert frozenset().union(*BELONGING.values()) == OPERATIONS.keys()


@pytest.mark.parametrize("catalogue", ["tool", "roots", "", None])
def test_other_lists_do_not_change(catalogue: Any) -> None:
    with pytest.raises(MisuseError, match='the lists that change are "tools", "resources" and "prompts"; got'):
        Memory().catalogue_changed(catalogue)


@pytest.mark.parametrize(
    ("updated", "forgotten"),
    [
        ("file:///a/b", {"file:///a/b", "file:///a", "file:///", "file:///a/"}),
        ("file:///a/", {"file:///a/", "file:///a", "file:///"}),
        ("file:///a/b#line-3", {"file:///a/b", "file:///a", "file:///", "file:///a/"}),
        ("file:///ab", {"file:///"}),
        ("note:1", set[str]()),
    ],
)
def test_a_resource_takes_with_it_the_folders_that_it_lies_in(updated: str, forgotten: set[str]) -> None:
    uris = ("file:///a/b", "file:///a", "file:///a/", "file:///", "file:///a/b/c", "note:11")
    others = (("tools/call", updated), ("resources/list", None))
    memory = Memory(*(("resources/read", uri) for uri in uris), *others)
    memory.resource_updated(updated)
    assert memory.known == {("resources/read", uri) for uri in uris if uri not in forgotten} | {*others}


def test_by_method_by_name_by_both_or_everything() -> None:
    known = (("tools/call", "a"), ("tools/call", "b"), ("prompts/get", "a"), ("tools/list", None))
    for arguments, left in [
        ({"method": "tools/call"}, known[2:]),
        ({"name": "a"}, (known[1], known[3])),
        ({"method": "tools/call", "name": "a"}, known[1:]),
        ({"method": "prompts/get", "name": "c"}, known),
        ({}, ()),
    ]:
        memory = Memory(*known)
        memory.invalidate(**arguments)
        assert memory.known == {*left}
