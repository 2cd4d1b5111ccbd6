"""`ctx.state`: a request's own, its connection's, and what a handle stands for."""

import asyncio
import json
import threading
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.awaiting import answer_to, ended, text_of
from tests.server.driving import Driver
from tybalt import Context, Server
from tybalt.errors import InvalidParams, MisuseError, row_of
from tybalt.server.state import ConnectionState, State, UnknownState
from tybalt.server.store import MemoryStore, StateConflict, StateTooLarge, StoreFull


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def state(*, store=None, principal=None, connection=None, request=None):
    """That of one more request."""
    entries = {} if request is None else request
    return State(entries, connection=connection, store=MemoryStore() if store is None else store, principal=principal)


# -- a request -------------------------------------------------------------------------------------------------------


def test_it_is_the_mapping_of_its_request():
    request = {}
    first = state(request=request)
    first["user"] = object()
    first["b"] = 2
    del first["b"]
    assert isinstance(first, MutableMapping) and dict(first) == request and len(first) == 1
    assert first.get("b") is None and "user" in first and first.setdefault("c", []) == []
    assert state(request=request)["user"] is first["user"]
    assert dict(state()) == {}
    assert repr(first) == "<State of a request: ['user', 'c']>"


# -- a connection ----------------------------------------------------------------------------------------------------


def test_requests_of_a_connection_share_its_state():
    shared, other = ConnectionState(), ConnectionState()
    one, two, stranger = (state(connection=each) for each in (shared, shared, other))
    one.connection["cart"] = ["a"]
    two.connection["cart"].append("b")
    assert one.connection == {"cart": ["a", "b"]} and dict(stranger.connection) == {}
    del two.connection["cart"]
    assert len(one.connection) == 0 and "cart" not in one
    assert repr(other) == "<ConnectionState: []>"


def test_without_a_connection_it_says_what_to_do():
    with pytest.raises(MisuseError, match=r"without connections.*ctx\.state\.mint"):
        _ = state().connection


def test_a_connection_has_room_for_so_many_entries():
    shared = ConnectionState(max_entries=2)
    shared.update(a=1, b=2)
    shared["a"] = 3
    with pytest.raises(MisuseError, match="at most 2 entries, and 'c' would be one more"):
        shared["c"] = 1
    del shared["b"]
    shared["c"] = 1
    assert dict(shared) == {"a": 3, "c": 1}
    with pytest.raises(MisuseError, match="max_entries=0"):
        ConnectionState(max_entries=0)


def test_a_connection_may_be_used_from_threads():
    shared = ConnectionState(max_entries=100)
    barrier = threading.Barrier(4)

    def fill(thread):
        barrier.wait()
        refused = 0
        for number in range(100):
            try:
                shared[f"{thread}.{number}"] = number
            except MisuseError:
                refused += 1
            assert all(isinstance(key, str) for key in shared)
        return refused

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(fill, range(4))) == 300
    assert len(shared) == 100


# -- a handle --------------------------------------------------------------------------------------------------------


@pytest.mark.loops
async def test_a_handle_brings_values_from_one_request_to_another():
    store = MemoryStore()
    handle = await state(store=store, principal="ada").mint({"cart": ["a"]})
    bag = await state(store=store, principal="ada").open(handle)
    assert isinstance(bag, MutableMapping) and dict(bag) == {"cart": ["a"]} and bag.handle == handle
    bag["cart"].append("b")
    bag["total"] = 2
    assert dict(await state(store=store, principal="ada").open(handle)) == {"cart": ["a"]}  # not saved yet
    await bag.save()
    later = await state(store=store, principal="ada").open(handle)
    assert dict(later) == {"cart": ["a", "b"], "total": 2} and len(later) == 2
    del later["total"]
    await later.save()
    await later.save()  # it has seen its own change
    assert dict(await state(store=store, principal="ada").open(handle)) == {"cart": ["a", "b"]}
    await later.delete()
    await later.delete()
    await unknown(state(store=store, principal="ada"), handle)
    with pytest.raises(StateConflict):
        await later.save()
    assert store.entries == 0


async def test_handles_are_long_random_and_nowhere_but_with_the_client():
    store = MemoryStore()
    handles = {await state(store=store).mint({"n": 1}) for _ in range(100)}
    assert len(handles) == 100 and {len(each) for each in handles} == {32}
    assert all(each.replace("-", "").replace("_", "").isalnum() for each in handles)
    kept = repr(store._items)
    assert not any(each in kept for each in handles)
    assert all(len(key) == 64 for key in store._items)
    handle = handles.pop()
    assert handle not in repr(await state(store=store).open(handle))
    assert repr(await state(store=store).open(handle)) == "<Bag: ['n']>"


@pytest.mark.parametrize(("owner", "thief"), [("ada", "bea"), ("ada", None), ("ada", ""), (None, "ada"), (None, "")])
async def test_a_handle_is_good_for_one_principal(owner, thief):
    store = MemoryStore()
    handle = await state(store=store, principal=owner).mint({"secret": 1})
    await unknown(state(store=store, principal=thief), handle)
    assert (await state(store=store, principal=owner).open(handle))["secret"] == 1


@pytest.mark.parametrize("odd", ["\ud800", "\\ud800", "\0", '"', "ada\0"])
async def test_no_two_principals_are_taken_for_each_other(odd):
    store = MemoryStore()
    for other in {"\ud800", "\\ud800", "\0", '"', "ada\0", "ada", "?"} - {odd}:
        handle = await state(store=store, principal=odd).mint()
        await unknown(state(store=store, principal=other), handle)


@pytest.mark.parametrize("handle", ["", "x", "\0", "\ud800", "../etc", "a" * 1_000_000])
async def test_a_made_up_handle_stands_for_nothing(handle):
    await unknown(state(), handle)


async def test_a_handle_is_good_for_its_time():
    clock = Clock()
    store = MemoryStore(clock=clock)
    ada = state(store=store)
    short, usual = await ada.mint(ttl=60), await ada.mint({"a": 1})
    clock.now += 60
    await unknown(ada, short)
    bag = await ada.open(usual)
    clock.now += 3_530
    await bag.save()  # the hour begins anew
    clock.now += 3_599
    bag = await ada.open(usual)
    await bag.save(ttl="1m")
    await bag.save()  # what was said last holds
    clock.now += 60
    await unknown(ada, usual)
    with pytest.raises(StateConflict):
        await bag.save()


async def unknown(mine, handle):
    """One text for whatever is wrong, for the model to read."""
    with pytest.raises(UnknownState) as caught:
        await mine.open(handle)
    text = "There is no state under this handle: it is not one of yours, or has expired. Begin anew without it"
    assert isinstance(caught.value, InvalidParams) and caught.value.code == -32602 and str(caught.value) == text
    assert row_of(caught.value).is_result("2026-07-28")


@pytest.mark.loops
async def test_of_two_that_change_the_same_one_is_told():
    store = MemoryStore()
    handle = await state(store=store).mint({"n": 0})

    async def count():
        for attempt in range(20):
            bag = await state(store=store).open(handle)
            await asyncio.sleep(0)  # another call does the same
            bag["n"] += 1
            try:
                await bag.save()
            except StateConflict:
                continue
            return attempt
        raise AssertionError("never saved")

    attempts = await asyncio.gather(*(count() for _ in range(10)))
    assert (await state(store=store).open(handle))["n"] == 10
    assert max(attempts) > 0


@pytest.mark.parametrize("values", [{"a": object()}, {"a": {1: object()}}, {"a": "\ud800"}, {"a": 1j}])
async def test_values_are_json(values):
    store = MemoryStore()
    with pytest.raises(MisuseError, match="written as JSON"):
        await state(store=store).mint(values)
    assert store.entries == 0
    handle = await state(store=store).mint()
    bag = await state(store=store).open(handle)
    bag.update(values)
    with pytest.raises(MisuseError, match="written as JSON"):
        await bag.save()
    assert dict(await state(store=store).open(handle)) == {}


async def test_values_that_contain_themselves_are_no_json():
    values = {}
    values["self"] = values
    with pytest.raises(MisuseError, match="written as JSON"):
        await state().mint(values)


async def test_what_is_too_much_is_refused_and_nothing_is_lost():
    store = MemoryStore(max_entries=1, max_item_bytes=100)
    ada = state(store=store)
    with pytest.raises(StateTooLarge):
        await ada.mint({"a": "x" * 100})
    handle = await ada.mint({"a": "x"})
    with pytest.raises(StoreFull) as caught:
        await ada.mint()
    assert row_of(caught.value).retryable
    bag = await ada.open(handle)
    bag["a"] = "x" * 100
    with pytest.raises(StateTooLarge):
        await bag.save()
    bag["a"] = "y"
    await bag.save()
    assert dict(await ada.open(handle)) == {"a": "y"}


@pytest.mark.parametrize("ttl", [0, -1, "1", "soon"])
async def test_a_time_is_a_duration(ttl):
    with pytest.raises(MisuseError, match="a duration is"):
        await state().mint(ttl=ttl)


async def test_processes_that_share_no_store_are_told_so():
    lonely = State({}, connection=None, store=None, principal=None)
    lonely["a"] = 1
    for use in (lonely.mint({"a": 1}), lonely.open("x")):
        with pytest.raises(MisuseError, match=r"several processes.*Server\(store=\.\.\.\)"):
            await use


class Together:
    """A lock that nobody takes before two want it."""

    def __init__(self) -> None:
        self._both = threading.Barrier(2)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._both.wait(10)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


async def test_threads_that_are_both_the_first_to_want_it_have_the_same(monkeypatch):
    monkeypatch.setattr("tybalt.server.state.MAKING", Together())
    server = Server("x", max_threads=2)

    @server.tool
    def put(name: str, context: Context) -> None:
        context.state.connection[name] = 1

    @server.tool
    def names(context: Context) -> list[str]:
        return sorted(context.state.connection)

    driver = Driver(server)
    driver.start("put", name="a")
    driver.start("put", name="b")
    await ended(driver)
    assert json.loads(text_of(await answer_to(driver, "names"))) == ["a", "b"]
    server.threads.close()
