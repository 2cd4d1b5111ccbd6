"""A table of many principals: whose what is, what came first, and how much one of them may have."""

from tybalt.server.http.shares import Shared


def filled(*entries: tuple[str, str | None]) -> Shared[str, int]:
    table: Shared[str, int] = Shared(4, 2)
    for number, (key, principal) in enumerate(entries):
        table.put(key, principal, number)
    return table


def test_it_is_full_for_one_by_his_share_and_for_all_by_the_limit() -> None:
    table = filled(("a", "ann"), ("b", "ann"), ("c", "bob"))
    assert table.has_share("ann")
    assert not table.has_room("ann")
    assert table.has_room("bob")
    table.put("d", "bob", 9)
    assert not table.has_room("eve")
    assert not table.has_share("eve")


def test_what_was_not_touched_for_longest_comes_first() -> None:
    table = filled(("a", "ann"), ("b", "bob"), ("c", "ann"))
    assert table.first(2) == ("a", "b")
    table.touch("a")
    assert table.first(9) == ("b", "c", "a")
    assert table.first_of("ann", 9) == ("c", "a")
    assert table.first_of("eve", 9) == ()


def test_nothing_is_left_of_a_principal_without_an_entry() -> None:
    table = filled(("a", "ann"), ("b", None))
    assert (table.pop("a"), table.pop("a"), table.pop("c")) == (0, None, None)
    assert table.items() == (("b", 1),)
    assert table.pop("b") == 1
    assert (len(table), table._of) == (0, {})


def test_a_share_is_never_nothing() -> None:
    assert Shared[str, int](4, 0).has_room("ann")
