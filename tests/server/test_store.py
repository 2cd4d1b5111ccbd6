"""The store in memory: what it keeps, for how long, how much, and who wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.server.store import Item, MemoryStore, StateConflict, StateTooLarge, Store, StoreFull


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_what_is_put_is_got_until_it_is_deleted():
    store: Store = MemoryStore()
    assert await store.get("a") is None
    version = await store.put("a", b"1", ttl=60)
    assert await store.get("a") == Item(b"1", version)
    assert await store.delete("a") and not await store.delete("a")
    assert await store.get("a") is None


async def test_a_version_is_never_seen_twice():
    store = MemoryStore()
    first = await store.put("a", b"1", ttl=60, version=0)
    await store.delete("a")
    second = await store.put("a", b"1", ttl=60, version=0)
    assert second != first
    with pytest.raises(StateConflict):
        await store.put("a", b"2", ttl=60, version=first)


@pytest.mark.parametrize("wrong", [0, 7])
async def test_who_has_not_seen_the_latest_does_not_overwrite_it(wrong):
    store = MemoryStore()
    version = await store.put("a", b"1", ttl=60)
    with pytest.raises(StateConflict, match="Nothing was saved"):
        await store.put("a", b"2", ttl=60, version=wrong)
    assert await store.get("a") == Item(b"1", version)
    assert await store.put("a", b"2", ttl=60, version=version) > version
    assert await store.put("a", b"3", ttl=60) > version  # whatever is there


async def test_what_is_gone_is_not_brought_back_by_a_version():
    store = MemoryStore()
    version = await store.put("a", b"1", ttl=60)
    await store.delete("a")
    with pytest.raises(StateConflict):
        await store.put("a", b"2", ttl=60, version=version)
    assert store.entries == 0


async def test_time_is_over_to_the_second_and_begins_anew_with_each_put():
    clock = Clock()
    store = MemoryStore(clock=clock)
    version = await store.put("a", b"1", ttl=60)
    clock.now += 59
    version = await store.put("a", b"1", ttl=60, version=version)
    clock.now += 59
    assert await store.get("a") == Item(b"1", version)
    clock.now += 1
    assert await store.get("a") is None and store.entries == 0 and store.size == 0
    with pytest.raises(StateConflict):
        await store.put("a", b"1", ttl=60, version=version)


async def test_a_store_that_is_full_refuses_what_is_new_and_keeps_what_it_has():
    clock = Clock()
    store = MemoryStore(max_entries=2, clock=clock)
    await store.put("a", b"1", ttl=60)
    await store.put("b", b"1", ttl=120)
    with pytest.raises(StoreFull, match="Try again later"):
        await store.put("c", b"1", ttl=60)
    await store.put("b", b"2", ttl=120)  # no more entries than before
    clock.now += 60
    await store.put("c", b"1", ttl=60)  # the first has expired
    assert await store.get("b") is not None and store.entries == 2


async def test_bytes_are_counted_with_their_keys():
    store = MemoryStore(max_bytes=10)
    await store.put("ab", b"12345678", ttl=60)
    assert store.size == 10
    with pytest.raises(StoreFull):
        await store.put("c", b"", ttl=60)
    with pytest.raises(StoreFull):
        await store.put("ab", b"123456789", ttl=60)
    await store.put("ab", b"1", ttl=60)
    assert store.size == 3
    await store.put("c", b"123456", ttl=60)
    assert store.size == 10


async def test_an_item_is_bounded():
    store = MemoryStore(max_item_bytes=4)
    await store.put("a", b"1234", ttl=60)
    with pytest.raises(StateTooLarge, match="at most 4 bytes as JSON, and this one has 5"):
        await store.put("b", b"12345", ttl=60)


@pytest.mark.parametrize("limit", ["max_entries", "max_bytes", "max_item_bytes"])
def test_a_store_has_room_for_something(limit):
    with pytest.raises(MisuseError, match="at least 1 entry"):
        MemoryStore(**{limit: 0})


async def test_what_was_saved_often_leaves_nothing_behind():
    store = MemoryStore()
    for _ in range(10_000):
        await store.put("a", b"1", ttl=1_000_000)
        await store.put("b", b"1", ttl=1_000_000)
        await store.delete("b")
    assert len(store._expiries) <= 2 * 1 + 64 + 2


steps = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "wait"]), st.sampled_from("abcd"), st.integers(1, 6)), max_size=80
)


@given(steps)
async def test_it_is_a_dictionary_whose_entries_expire(steps):
    clock = Clock()
    store = MemoryStore(max_entries=3, max_bytes=14, clock=clock)
    model: dict[str, tuple[bytes, float]] = {}
    for step, key, number in steps:
        model = {name: kept for name, kept in model.items() if kept[1] > clock.now}
        if step == "wait":
            clock.now += number
        elif step == "delete":
            assert await store.delete(key) == (model.pop(key, None) is not None)
        else:
            after = {**model, key: (b"x" * number, clock.now + number)}
            try:
                await store.put(key, b"x" * number, ttl=number)
            except StoreFull:
                assert len(after) > 3 or size_of(after) > 14
                continue
            assert len(after) <= 3 and size_of(after) <= 14
            model = after
        alive = {name: kept for name, kept in model.items() if kept[1] > clock.now}
        assert (store.entries, store.size) == (len(alive), size_of(alive))
        for name in "abcd":
            item = await store.get(name)
            assert (None if item is None else item.value) == (alive[name][0] if name in alive else None)


def size_of(model):
    return sum(len(name) + len(value) for name, (value, _) in model.items())
