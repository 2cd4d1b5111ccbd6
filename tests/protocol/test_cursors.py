"""Keyset cursors: what they hold, what is refused, and that a walk loses nothing while the list changes."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InvalidParams, MisuseError
from tybalt.protocol.cursors import MAX_CURSOR, decode_cursor, encode_cursor, page

KEYS = st.text(max_size=40)


@given(st.sampled_from(["tools", "resources", "prompts"]), KEYS)
def test_a_cursor_gives_back_the_key_it_was_made_of(list_name: str, key: str) -> None:
    cursor = encode_cursor(list_name, key)
    assert decode_cursor(list_name, cursor) == key
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_has_one_spelling_on_every_replica() -> None:
    assert encode_cursor("tools", "add") == "AXRvb2xzAGFkZA"


def made_of(payload: bytes) -> str:
    return urlsafe_b64encode(payload).rstrip(b"=").decode()


GOOD = encode_cursor("tools", "ad")


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ("", "not one of ours"),
        ("x", "not one of ours"),
        ("eyJwYWdlIjogMn0=", "not one of ours"),
        ("…", "not one of ours"),
        ("\ud800", "not one of ours"),
        (GOOD + "=", "not one of ours"),
        (GOOD + "\n", "not one of ours"),
        (" " + GOOD, "not one of ours"),
        (encode_cursor("tools", "add")[:-1] + "B", "not one of ours"),  # the same bytes, with other bits behind them
        (GOOD[:4] + "!" + GOOD[4:], "not one of ours"),
        (made_of(b"\x02tools\0add"), "not one of ours"),
        (made_of(b"tools\0add"), "not one of ours"),
        (made_of(b"\x01tools"), "not one of ours"),
        (made_of(b"\x01tools\0\xff"), "not one of ours"),
        (made_of(b"\x01\x01tools\0add"), "another list"),
        (encode_cursor("tools", "~~?").replace("-", "+"), "not one of ours"),  # the other alphabet
        (encode_cursor("prompts", "add"), "another list"),
        ("A" * (MAX_CURSOR + 1), "longer than 2048"),
        ("A" * 1_000_000, "longer than 2048"),
    ],
)
def test_anything_else_is_refused_as_invalid_params(cursor: str, reason: str) -> None:
    with pytest.raises(InvalidParams, match=f"^Invalid cursor for tools: it .*{reason}.*Start again") as caught:
        decode_cursor("tools", cursor)
    assert caught.value.code == -32602
    assert len(str(caught.value)) < 200


@given(st.text(max_size=60))
def test_garbage_is_refused_and_nothing_else_happens(cursor: str) -> None:
    try:
        key = decode_cursor("tools", cursor)
    except InvalidParams:
        return
    assert encode_cursor("tools", key) == cursor


@pytest.mark.parametrize("list_name", ["", "to\0ols"])
def test_a_list_needs_a_name_that_can_be_told_from_the_key(list_name: str) -> None:
    with pytest.raises(MisuseError, match="a list needs a name"):
        encode_cursor(list_name, "add")


@pytest.mark.parametrize("key", ["a" * 1600, "a" * 1_000_000])
def test_a_key_that_does_not_fit_cannot_be_encoded(key: str) -> None:
    with pytest.raises(MisuseError, match="too long"):
        encode_cursor("tools", key)


def test_a_list_that_fits_one_page_keeps_its_order() -> None:
    assert page(["c", "a", "b"], None, 3, "tools") == ([0, 1, 2], None)
    assert page([], None, 3, "tools") == ([], None)


def test_a_longer_list_is_sorted_by_key() -> None:
    keys = ["c", "a", "b"]
    first, cursor = page(keys, None, 2, "tools")
    assert [keys[index] for index in first] == ["a", "b"]
    assert cursor == encode_cursor("tools", "b")
    assert page(keys, cursor, 2, "tools") == ([0], None)


def test_a_cursor_behind_the_end_gives_an_empty_last_page() -> None:
    assert page(["a", "b"], encode_cursor("tools", "z"), 2, "tools") == ([], None)


@pytest.mark.parametrize("size", [0, -1])
def test_a_page_holds_at_least_one_entry(size: int) -> None:
    with pytest.raises(MisuseError, match=f"size={size}"):
        page(["a"], None, size, "tools")


def test_an_invalid_cursor_is_refused_even_where_all_fits_one_page() -> None:
    with pytest.raises(InvalidParams, match="Invalid cursor for tools"):
        page(["a"], "", 5, "tools")


def test_a_key_too_long_for_a_cursor_makes_its_page_longer() -> None:
    keys = ["a", "b" * 4000, "c" * 4000, "d", "e"]
    first, cursor = page(keys, None, 2, "resources")
    assert first == [0, 1, 2, 3]
    assert page(keys, cursor, 2, "resources") == ([4], None)
    assert page(keys[:3], None, 2, "resources") == ([0, 1, 2], None)


changes = st.lists(st.tuples(st.booleans(), KEYS), max_size=4)


@given(st.lists(KEYS, unique=True, max_size=12), st.integers(1, 4), st.lists(changes, max_size=12))
def test_a_walk_shows_every_entry_that_stays_exactly_once(
    keys: list[str], size: int, changes: list[list[tuple[bool, str]]]
) -> None:
    """Between any two pages entries are added anywhere and removed, also the one the cursor names."""
    current, shown, cursor = list(keys), list[str](), None
    stayed = set(keys)
    for step in range(100):
        indices, cursor = page(current, cursor, size, "tools")
        shown += [current[index] for index in indices]
        if cursor is None:
            break
        for add, key in changes[step] if step < len(changes) else []:
            if add and key not in current:
                current.insert(len(key) % (len(current) + 1), key)
            elif not add and current:
                victim = shown[-1] if key == "" and shown[-1] in current else current[len(key) % len(current)]
                current.remove(victim)
                stayed.discard(victim)
    else:
        pytest.fail("the walk did not end")
    assert all(shown.count(key) == 1 for key in stayed)
