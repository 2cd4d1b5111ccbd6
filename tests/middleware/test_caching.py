"""Response caching: what is kept and what never is, for whom, for how long, how much, and what makes it forget."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, ToolError
from tybalt.middleware.caching import METHODS, ONE_TIME, CacheStatistics, ResponseCaching
from tybalt.middleware.layers import Handler, stacked
from tybalt.middleware.middleware import OPERATIONS
from tybalt.middleware.request import Request
from tybalt.types.content import TextContent
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.resources import ReadResourceResult, TextResourceContents
from tybalt.types.tools import CallToolResult, ListToolsResult, Tool, ToolAnnotations

READS = ToolAnnotations(read_only_hint=True)
IDEMPOTENT = ToolAnnotations(idempotent_hint=True)
LIST = Request(method="tools/list", principal="ann")
READ = Request(method="resources/read", name="file:///a", principal="ann")
CALL = Request(method="tools/call", name="search", arguments={"q": "x", "n": 1}, principal="ann", hints=READS)


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Backend:
    """It answers with the number of the request, and can be held back."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.asked = 0
        self.gates: dict[str | None, asyncio.Event] = {}

    async def answer(self, request: Request) -> Any:
        self.asked += 1
        number = self.asked
        if request.name in self.gates:
            await self.gates[request.name].wait()
        result = self.results.pop(0) if self.results else text(f"{number}")
        if isinstance(result, BaseException):
            raise result
        return result


def text(value: str, **members: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=value)], **members)


async def is_kept(request: Request, caching: ResponseCaching | None = None, *results: Any) -> bool:
    """Whether the second of two requests is answered without asking."""
    backend = Backend(*results)
    handler = stacked(backend.answer, [ResponseCaching() if caching is None else caching])
    for _ in range(2):
        try:
            await handler(request)
        except ToolError:
            pass
    return backend.asked == 1


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


class TestWhatIsKept:
    @pytest.mark.parametrize("method", sorted(METHODS - {"tools/call"}))
    async def test_lists_resources_and_prompts(self, method: str) -> None:
        assert await is_kept(Request(method=method))

    async def test_nothing_else_unless_it_is_asked_for(self) -> None:
        method = "completion/complete"
        assert not await is_kept(Request(method=method))
        assert await is_kept(Request(method=method), ResponseCaching(methods=[method]))
        assert not await is_kept(LIST, ResponseCaching(methods=[method]))

    @pytest.mark.parametrize(
        ("method", "hint"), [("tools/calls", "did you mean 'tools/call'?"), ("ping", "there are tools/call,")]
    )
    def test_a_method_that_no_layer_sees_is_a_mistake(self, method: str, hint: str) -> None:
        with pytest.raises(MisuseError, match="there is no method") as caught:
            ResponseCaching(methods=[method])
        assert hint in str(caught.value)

    @pytest.mark.parametrize("hints", [READS, IDEMPOTENT])
    async def test_tools_that_say_it_does_no_harm(self, hints: ToolAnnotations) -> None:
        assert await is_kept(CALL.replaced(hints=hints))

    @pytest.mark.parametrize(
        "hints", [None, ToolAnnotations(), ToolAnnotations(read_only_hint=False, idempotent_hint=False)]
    )
    async def test_other_tools_on_request_only(self, hints: ToolAnnotations | None) -> None:
        request = CALL.replaced(hints=hints)
        assert not await is_kept(request)
        assert await is_kept(request, ResponseCaching(tools={"search"}))
        assert await is_kept(request, ResponseCaching(tools=lambda request: request.principal == "ann"))
        assert not await is_kept(request, ResponseCaching(tools={"find"}))

    async def test_what_is_excluded_never_whoever_asks_for_it(self) -> None:
        assert not await is_kept(CALL, ResponseCaching(tools={"search"}, exclude={"search"}))
        assert not await is_kept(READ, ResponseCaching(exclude=lambda request: request.name == "file:///a"))
        assert await is_kept(LIST, ResponseCaching(exclude={"search"}))

    @pytest.mark.parametrize(
        "result",
        [
            ToolError("no"),
            text("no", is_error=True),
            InputRequiredResult(request_state="…"),
            text("?", result_type="input_required"),
        ],
        ids=["exception", "is_error", "input required", "result type"],
    )
    async def test_failures_and_questions_never(self, result: Any) -> None:
        assert not await is_kept(CALL, ResponseCaching(), result)

    async def test_what_says_that_it_is_complete_or_no_error(self) -> None:
        assert await is_kept(CALL, ResponseCaching(), text("yes", is_error=False, result_type="complete"))

    @pytest.mark.parametrize("member", sorted(ONE_TIME))
    async def test_what_carries_input_or_is_a_task_never(self, member: str) -> None:
        assert not await is_kept(CALL.replaced(params={member: {}}))

    @pytest.mark.parametrize("has_asked", [True, False])
    async def test_what_the_client_was_asked_for_never(self, has_asked: bool) -> None:
        context = SimpleNamespace(has_asked=False)

        async def asking(request: Request) -> Any:
            context.has_asked = has_asked
            return text("You are ann.")

        caching = ResponseCaching()
        await stacked(asking, [caching])(CALL.replaced(context=context))
        assert caching.statistics().entries == (0 if has_asked else 1)

    async def test_a_cancel_is_passed_on_and_leaves_nothing(self) -> None:
        backend, caching = Backend(), ResponseCaching()
        backend.gates["search"] = asyncio.Event()
        task = asyncio.create_task(stacked_by(backend, caching)(CALL))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert caching.statistics() == CacheStatistics(hits=0, misses=1, entries=0, bytes=0)

    async def test_what_cannot_be_written_is_passed_on(self) -> None:
        result = text("x", structured_content=object())
        backend = Backend(result, result)
        handler = stacked_by(backend, ResponseCaching())
        assert await handler(CALL) is result
        assert await handler(CALL) is result

    async def test_what_does_not_read_as_its_class_is_asked_for_again(self) -> None:
        caching = ResponseCaching()
        assert not await is_kept(LIST, caching, *(ListToolsResult(tools=[5]) for _ in range(2)))  # pyright: ignore[reportArgumentType]
        assert caching.statistics().misses == 2


def stacked_by(backend: Backend, *layers: ResponseCaching) -> Handler:
    return stacked(backend.answer, layers)


class TestQuestions:
    async def test_the_order_of_members_and_meta_do_not_count(self) -> None:
        backend = Backend()
        handler = stacked_by(backend, ResponseCaching())
        first = await handler(CALL)
        other = CALL.replaced(arguments={"n": 1, "q": "x"}, meta={"progressToken": 5}, context=object())
        assert await handler(other) == first
        assert backend.asked == 1

    async def test_everything_else_counts(self) -> None:
        backend = Backend()
        handler = stacked_by(backend, ResponseCaching())
        questions = [
            CALL,
            CALL.replaced(principal="bob"),
            CALL.replaced(principal=None),
            CALL.replaced(principal=""),
            CALL.replaced(name="find"),
            CALL.replaced(method="prompts/get"),
            CALL.replaced(arguments={"q": "x", "n": 1.0}),
            CALL.replaced(arguments={"q": "x", "n": "1"}),
            CALL.replaced(arguments={"q": "x", "n": True}),
            CALL.replaced(arguments={}, params={"q": "x", "n": 1}),
            LIST,
            LIST.replaced(params={"cursor": "abc"}),
        ]
        first = [await handler(question) for question in questions]
        assert backend.asked == len(questions)
        assert [await handler(question) for question in questions] == first
        assert backend.asked == len(questions)

    async def test_each_stack_has_answers_of_its_own(self) -> None:
        caching = ResponseCaching()
        one, other = Backend(), Backend()
        await stacked_by(one, caching)(LIST)
        await stacked_by(other, caching)(LIST)
        assert other.asked == 1
        caching.catalogue_changed("tools")
        assert caching.statistics().entries == 0


class TestAnswers:
    @pytest.mark.parametrize(
        "result",
        [
            text("x", structured_content={"a": [1, {"b": None}]}, meta={"c": 1}),
            text("x", structured_content=None),
            text("x"),
            ListToolsResult(tools=[Tool(name="a", input_schema={"type": "object"}, annotations=READS)], ttl_ms=0),
            ReadResourceResult(contents=[TextResourceContents(uri="file:///a", text="é")]),
        ],
        ids=lambda result: type(result).__name__,
    )
    async def test_a_hit_is_on_the_wire_what_the_first_answer_was(self, result: Any) -> None:
        handler = stacked_by(Backend(result), ResponseCaching())
        first, hit = await handler(CALL), await handler(CALL)
        assert first is result
        assert type(hit) is type(first)
        assert msgspec.json.encode(hit) == msgspec.json.encode(first)

    async def test_nobody_can_change_what_another_one_gets(self) -> None:
        original = text("x", structured_content={"items": [1]})
        handler = stacked_by(Backend(original), ResponseCaching())
        for _ in range(3):
            result = await handler(CALL)
            assert result.structured_content == {"items": [1]}
            result.structured_content["items"].append(2)
            result.content.clear()

    async def test_a_hit_reads_like_an_answer_from_the_wire(self) -> None:
        @dataclass
        class Found:
            count: int

        handler = stacked_by(Backend(text("x", structured_content=Found(1))), ResponseCaching())
        assert (await handler(CALL)).structured_content == Found(1)
        assert (await handler(CALL)).structured_content == {"count": 1}


class TestTime:
    async def test_it_is_kept_for_five_minutes(self) -> None:
        clock, backend = Clock(), Backend()
        handler = stacked_by(backend, ResponseCaching(clock=clock))
        await handler(LIST)
        clock.now = 299.9
        await handler(LIST)
        assert backend.asked == 1
        clock.now = 300.0
        await handler(LIST)
        assert backend.asked == 2

    async def test_or_for_as_long_as_is_said_and_a_hit_does_not_lengthen_it(self) -> None:
        clock, backend = Clock(), Backend()
        handler = stacked_by(backend, ResponseCaching(ttl="10s", clock=clock))
        for now, asked in [(0, 1), (6, 1), (9, 1), (10, 2), (19, 2), (20, 3)]:
            clock.now = now
            await handler(LIST)
            assert backend.asked == asked

    async def test_it_counts_from_when_it_was_asked_for(self) -> None:
        clock, backend = Clock(), Backend()
        caching = ResponseCaching(ttl=10, clock=clock)
        handler = stacked_by(backend, caching)
        for took, kept in [(9, 1), (11, 0)]:
            caching.clear()
            gate = backend.gates["file:///a"] = asyncio.Event()
            task = asyncio.create_task(handler(READ))
            await settle()
            clock.now += took
            gate.set()
            await task
            assert caching.statistics().entries == kept
        assert caching.statistics().hits == 0

    @pytest.mark.parametrize(("ttl_ms", "kept_for"), [(None, 300), (0, 300), (60_000, 60), (1_500, 1.5), (10**9, 300)])
    async def test_a_result_may_say_less(self, ttl_ms: Any, kept_for: float) -> None:
        clock = Clock()
        backend = Backend(ListToolsResult(tools=[], ttl_ms=ttl_ms))
        handler = stacked_by(backend, ResponseCaching(clock=clock))
        await handler(LIST)
        clock.now = kept_for * 0.999
        await handler(LIST)
        assert backend.asked == 1
        clock.now = kept_for
        await handler(LIST)
        assert backend.asked == 2


class TestMemory:
    async def test_what_was_not_used_for_longest_goes_first(self) -> None:
        backend, caching = Backend(), ResponseCaching(max_entries=2)
        handler = stacked_by(backend, caching)
        a, b, c = (READ.replaced(name=name) for name in "abc")
        for request in (a, b, a, c, a):
            await handler(request)
        assert backend.asked == 3
        await handler(b)
        assert backend.asked == 4
        assert caching.statistics().entries == 2

    async def test_bytes_are_counted_and_bounded(self) -> None:
        size = len(READ.replaced(name="0").identity) + len(msgspec.json.encode(text("x" * 100)))
        backend = Backend(*(text("x" * 100) for _ in range(10)))
        caching = ResponseCaching(max_bytes=3 * size + size // 2)
        handler = stacked_by(backend, caching)
        for name in range(10):
            await handler(READ.replaced(name=f"{name}"))
            assert caching.statistics().bytes == size * min(name + 1, 3)
        caching.clear()
        assert caching.statistics().bytes == 0

    @pytest.mark.parametrize(("option", "share"), [("max_item_bytes", 1), ("max_bytes", 1)])
    async def test_what_is_too_large_is_not_kept(self, option: str, share: int) -> None:
        size = len(READ.identity) + len(msgspec.json.encode(text("x")))
        assert await is_kept(READ, ResponseCaching(**{option: size * share}), text("x"))
        assert not await is_kept(READ, ResponseCaching(**{option: size - 1}), text("x"), text("x"))

    async def test_what_is_asked_counts_as_well(self) -> None:
        assert not await is_kept(CALL.replaced(arguments={"q": "x" * 1_000_000}))

    async def test_what_has_expired_takes_no_place_once_it_is_asked_for(self) -> None:
        clock = Clock()
        caching = ResponseCaching(clock=clock)
        handler = stacked_by(Backend(text("1"), text("no", is_error=True)), caching)
        await handler(CALL)
        clock.now = 300
        await handler(CALL)
        assert caching.statistics() == CacheStatistics(hits=0, misses=2, entries=0, bytes=0)

    async def test_the_statistics_tell_the_rate(self) -> None:
        caching = ResponseCaching()
        assert caching.statistics().hit_rate == 0
        handler = stacked_by(Backend(), caching)
        for request in (LIST, LIST, LIST, READ, Request(method="ping")):
            await handler(request)
        statistics = caching.statistics()
        assert (statistics.hits, statistics.misses, statistics.entries, statistics.hit_rate) == (2, 2, 2, 0.5)


class TestChanges:
    @pytest.mark.parametrize("catalogue", ["tools", "resources", "prompts"])
    async def test_a_list_that_changed_takes_what_belongs_to_it(self, catalogue: Any) -> None:
        backend, caching = Backend(), ResponseCaching(methods=OPERATIONS)
        handler = stacked_by(backend, caching)
        for method in OPERATIONS:
            await handler(Request(method=method, hints=READS))
        caching.catalogue_changed(catalogue)
        left = caching.statistics()
        assert left.entries == {"tools": 6, "resources": 4, "prompts": 5}[catalogue]
        for method in OPERATIONS:
            await handler(Request(method=method, hints=READS))
        assert caching.statistics().hits == left.entries

    async def test_a_resource_and_an_answer_by_name(self) -> None:
        backend, caching = Backend(), ResponseCaching()
        handler = stacked_by(backend, caching)
        for request in (READ, CALL, LIST):
            await handler(request)
        caching.resource_updated("file:///a")
        assert caching.statistics().entries == 2
        caching.invalidate("tools/call", "search")
        assert caching.statistics().entries == 1
        await handler(LIST)
        assert backend.asked == 3

    @pytest.mark.parametrize(
        ("change", "stale"),
        [
            (lambda caching: caching.resource_updated("file:///a"), True),
            (lambda caching: caching.catalogue_changed("resources"), True),
            (lambda caching: caching.invalidate(name="file:///a"), True),
            (lambda caching: caching.clear(), True),
            (lambda caching: caching.resource_updated("file:///b"), False),
            (lambda caching: caching.catalogue_changed("tools"), False),
        ],
        ids=["resource", "list", "name", "all", "another resource", "another list"],
    )
    async def test_what_began_before_a_change_is_not_kept_after_it(self, change: Any, stale: bool) -> None:
        backend, caching = Backend(text("old"), text("new")), ResponseCaching()
        handler = stacked_by(backend, caching)
        gate = backend.gates["file:///a"] = asyncio.Event()
        task = asyncio.create_task(handler(READ))
        await settle()
        change(caching)
        gate.set()
        assert await task == text("old")
        assert await handler(READ) == text("new" if stale else "old")
        change(caching)
        assert caching.statistics().entries == (0 if stale else 1)

    async def test_nor_does_it_take_the_place_of_what_began_after_it(self) -> None:
        backend, caching = Backend(text("new"), text("old")), ResponseCaching()
        handler = stacked_by(backend, caching)
        gate = backend.gates["file:///a"] = asyncio.Event()
        before = asyncio.create_task(handler(READ))
        await settle()
        caching.resource_updated("file:///a")
        del backend.gates["file:///a"]
        assert await handler(READ) == text("new")
        gate.set()
        assert await before == text("old")
        assert await handler(READ) == text("new")


class TestWriters:
    """Tools that are idempotent and not read-only: what one of them did, another one may undo."""

    @staticmethod
    def switch(name: str, hints: ToolAnnotations | None = IDEMPOTENT) -> Request:
        return Request(method="tools/call", name=name, hints=hints)

    @pytest.mark.parametrize("hints", [IDEMPOTENT, None, ToolAnnotations()])
    async def test_on_off_on_runs_three_times(self, hints: ToolAnnotations | None) -> None:
        ran: list[str | None] = []

        async def run(request: Request) -> Any:
            ran.append(request.name)
            return text("done")

        handler = stacked(run, [ResponseCaching()])
        for name in ("on", "on", "off", "on", "on"):
            await handler(self.switch(name, hints if name == "off" else IDEMPOTENT))
        assert ran == ["on", "off", "on"]

    async def test_also_where_it_fails_halfway(self) -> None:
        handler = stacked_by(Backend(text("1"), ToolError("broken")), ResponseCaching())
        assert await handler(self.switch("on")) == await handler(self.switch("on"))
        with pytest.raises(ToolError):
            await handler(self.switch("off"))
        assert await handler(self.switch("on")) == text("3")

    async def test_what_ran_at_the_same_time_is_not_kept(self) -> None:
        backend, caching = Backend(), ResponseCaching()
        handler = stacked_by(backend, caching)
        gate = backend.gates["on"] = asyncio.Event()
        task = asyncio.create_task(handler(self.switch("on")))
        await settle()
        await handler(self.switch("off"))
        gate.set()
        await task
        assert caching.statistics().entries == 0

    async def test_what_only_reads_is_kept(self) -> None:
        backend, caching = Backend(), ResponseCaching(tools={"named"})
        handler = stacked_by(backend, caching)
        for request in (CALL, self.switch("named", None), READ, self.switch("write", None)):
            await handler(request)
        assert caching.statistics().entries == 3
        await handler(self.switch("on"))
        await handler(CALL.replaced(arguments={}))
        await handler(self.switch("named"))
        assert caching.statistics().entries == 5


@pytest.mark.parametrize("option", ["max_entries", "max_bytes", "max_item_bytes"])
@pytest.mark.parametrize("number", [0, -1, 1.5, True, "20"])
def test_counts_are_whole_numbers(option: str, number: Any) -> None:
    with pytest.raises(MisuseError, match=f"{option} is a whole number above 0; got"):
        ResponseCaching(**{option: number})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ttl": "300"}, "a duration is"),
        ({"ttl": 0}, "a duration is"),
        ({"methods": "tools/list"}, "methods takes several texts"),
        ({"tools": "search"}, "tools takes several texts"),
        ({"exclude": "search"}, "exclude takes several texts"),
    ],
)
def test_options_that_are_none(options: Any, match: str) -> None:
    with pytest.raises(MisuseError, match=match):
        ResponseCaching(**options)


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 5)),
    st.tuples(st.just("pass"), st.sampled_from([1, 4, 11])),
    st.tuples(st.just("change"), st.integers(0, 5)),
)


@given(st.lists(STEPS, max_size=60))
async def test_whatever_happens_an_answer_is_never_older_than_it_may_be(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    caching = ResponseCaching(ttl=10, max_entries=3, max_bytes=400, clock=clock)
    changed: dict[str, float] = {}

    async def answer(request: Request) -> Any:
        return text(f"{clock.now}", structured_content=request.name)

    handler = stacked(answer, [caching])
    for step, number in steps:
        uri = f"note:{number}"
        if step == "pass":
            clock.now += number
        elif step == "change":
            caching.resource_updated(uri)
            changed[uri] = clock.now
        else:
            result = await handler(Request(method="resources/read", name=uri))
            made = float(result.content[0].text)
            assert result.structured_content == uri
            assert clock.now - 10 < made <= clock.now and made >= changed.get(uri, 0.0)
        statistics = caching.statistics()
        assert statistics.entries <= 3 and statistics.bytes <= 400
        assert (statistics.bytes == 0) == (statistics.entries == 0)
