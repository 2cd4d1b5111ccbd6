"""Handlers of every kind for random schedules, and what they depend on: how each behaves is drawn when it runs.

`scheduled_world` keeps the trace and notices what must never be seen; `schedules` decides what is called when.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator
from typing import Annotated, Any

from tests.server.scheduled_world import CLEANUPS, Broken, Ledger, World, acting, here, outcome, pauses
from tybalt import (
    BackendError,
    Context,
    Depends,
    Elicit,
    InputRequired,
    Interrupted,
    Progress,
    Returned,
    Roots,
    Sample,
    checkpoint,
    prompt,
    resource,
    tool,
)
from tybalt.errors import MisuseError

REPEATABLE = {"idempotent_hint": True}
"""For tools that layers may share or try again."""

# -- what is depended on ----------------------------------------------------------------------------------------------


def ledger(context: Context) -> Ledger:
    return Ledger(here.get())


Book = Annotated[Ledger, Depends(ledger, run_in="loop")]


def quick(book: Book) -> Generator[Ledger, None, None]:
    book.fail()
    book.begin("quick")
    try:
        yield book
    finally:
        book.end("quick")
        book.fail()


def slow(book: Book, quick: Annotated[Ledger, Depends(quick, run_in="loop")]) -> Generator[Ledger, None, None]:
    book.begin("slow")
    try:
        checkpoint()
        book.fail()
        yield book
    finally:
        quick.use("quick")
        book.end("slow")
        book.fail()


async def pool(book: Book) -> AsyncGenerator[Ledger, None]:
    await book.trouble()
    book.begin("pool")
    try:
        await book.trouble()
        yield book
    finally:
        try:
            await book.trouble()
        finally:
            book.end("pool")


async def limited(book: Book, pool: Annotated[Ledger, Depends(pool)]) -> AsyncGenerator[Ledger, None]:
    book.begin("limited")
    try:
        async with asyncio.timeout(1.0):
            yield book
    except TimeoutError:
        raise Broken("the timeout of a provider") from None
    finally:
        pool.use("pool")
        book.end("limited")


async def row(book: Book, pool: Annotated[Ledger, Depends(pool)]) -> int:
    await book.trouble()
    pool.use("pool")
    return 1


def plain(book: Book) -> int:
    book.fail()
    return 1


Quick = Annotated[Ledger, Depends(quick, run_in="loop")]
Slow = Annotated[Ledger, Depends(slow)]
Pool = Annotated[Ledger, Depends(pool)]
Limited = Annotated[Ledger, Depends(limited)]
Row = Annotated[int, Depends(row)]
Plain = Annotated[int, Depends(plain, run_in="loop")]


@tool(annotations=REPEATABLE)
async def depends(n: int, slow: Slow, pool: Pool, row: Row, context: Context) -> int:
    with acting(n, "depends") as world:
        await pauses(world, pool, "quick", "slow", "pool")
        return outcome(world, n)


@tool
async def depends_on_limits(n: int, limited: Limited) -> int:
    with acting(n, "depends_on_limits") as world:
        await pauses(world, limited, "pool", "limited")
        return outcome(world, n)


@tool
async def depends_at_once(n: int, plain: Plain) -> int:
    with acting(n, "depends_at_once") as world:
        await pauses(world)
        return outcome(world, n)


@tool
def depends_in_thread(n: int, quick: Quick, pool: Pool, slow: Slow) -> int:
    with acting(n, "depends_in_thread") as world:
        world.in_the_end = lambda: pool.use("quick", "slow", "pool")
        checkpoint()
        return outcome(world, n)


@tool
async def streams_rows(n: int, pool: Pool, quick: Quick) -> AsyncIterator[str | Returned[int]]:
    with acting(n, "streams_rows") as world:
        for _ in range(world.random.randrange(4)):
            yield "a row"
            await pauses(world, pool, "quick", "pool")
        yield Returned(outcome(world, n))


@tool(annotations=REPEATABLE)
async def lends(n: int, pool: Pool, context: Context) -> int:
    with acting(n, "lends") as world:
        context.spawn(child(n, context, pool))
        await pauses(world, pool, "pool")
        return outcome(world, n)


# -- where a handler runs ---------------------------------------------------------------------------------------------


@tool(annotations=REPEATABLE)
async def bare(n: int) -> int:
    with acting(n, "bare") as world:
        await pauses(world)
        return outcome(world, n)


@tool(timeout=1.0)
async def hurried(n: int) -> int:
    with acting(n, "hurried") as world:
        await pauses(world)
        return outcome(world, n)


@tool
async def aware(n: int, context: Context) -> int:
    with acting(n, "aware") as world:
        for step in range(world.random.randrange(4)):
            await context.report_progress(step)
            await asyncio.sleep(world.pause())
            context.checkpoint()
            await context.info(step)
            if not context.consume_cost(1):
                return 0
        return outcome(world, n)


@tool
def threaded(n: int, context: Context) -> int:
    with acting(n, "threaded") as world:
        if world.threads_may_tell:
            context.report_progress(1)
        context.checkpoint()
        return outcome(world, n)


@tool(timeout=0.5)
def threaded_bare(n: int) -> int:
    with acting(n, "threaded_bare") as world:
        checkpoint()
        return outcome(world, n)


@tool(run_in="loop")
def on_loop(n: int) -> int:
    with acting(n, "on_loop") as world:
        return outcome(world, n)


@tool(run_in="loop")
def on_loop_aware(n: int, context: Context) -> int:
    with acting(n, "on_loop_aware") as world:
        context.report_progress(1)
        context.checkpoint()
        return outcome(world, n)


@tool(run_in="loop")
def begins(n: int) -> "asyncio.Future[int]":
    return asyncio.ensure_future(_work(n))


@tool
def promises(n: int, context: Context) -> Awaitable[int]:
    with acting(n, "promises"):
        return _work(n)


async def _work(n: int) -> int:
    with acting(n, "_work") as world:
        await pauses(world)
        return outcome(world, n, may_exit=False)  # A task that is its author's own ends the loop, as everywhere.


@tool
def streams_in_thread(n: int) -> Generator[Progress, None, int]:
    with acting(n, "streams_in_thread") as world:
        for step in range(world.random.randrange(4) if world.threads_may_tell else 0):
            yield Progress(step)
        return outcome(world, n)


@tool(run_in="loop")
def streams_by_step(n: int) -> Generator[Progress, None, int]:
    with acting(n, "streams_by_step") as world:
        for step in range(world.random.randrange(4)):
            yield Progress(step)
        return outcome(world, n)


@tool
async def streams(n: int) -> AsyncIterator[Progress | str | Returned[int]]:
    with acting(n, "streams") as world:
        for step in range(world.random.randrange(4)):
            yield Progress(step)
            await pauses(world)
            yield "said"
        yield Returned(outcome(world, n))


# -- what does not stop at once, and what runs beside it --------------------------------------------------------------


@tool(annotations=REPEATABLE)
async def stubborn(n: int) -> int:
    with acting(n, "stubborn") as world:
        try:
            await pauses(world)
        except asyncio.CancelledError:
            await asyncio.sleep(world.random.choice(CLEANUPS))
            if world.chance(0.5):
                raise
        return outcome(world, n)


@tool
async def cleans_up(n: int, context: Context) -> int:
    with acting(n, "cleans_up") as world:
        try:
            await pauses(world)
        finally:
            with context.masked():
                context.checkpoint()
                await asyncio.sleep(world.random.choice(CLEANUPS))
                context.report_progress(2)
        return outcome(world, n)


@tool
async def masks(n: int, context: Context) -> int:
    with acting(n, "masks") as world:
        await pauses(world)
        with context.masked():
            try:
                await pauses(world)
                context.checkpoint()
            except (asyncio.CancelledError, Interrupted) as error:
                if not world.has_timeouts:
                    world.wrong("masks", n, "is stopped behind its mask by", repr(error))
                raise
        if context.cancelled and not world.has_flights:
            await asyncio.sleep(0.25)
            world.wrong("masks", n, "goes on behind its mask")
        context.checkpoint()
        await pauses(world)
        return outcome(world, n)


@tool(annotations=REPEATABLE)
async def spawns(n: int, context: Context) -> int:
    with acting(n, "spawns") as world:
        for _ in range(world.random.randrange(1, 4)):
            context.spawn(child(n, context))
        await pauses(world)
        if world.chance(0.1):
            raise BackendError("try again")
        return outcome(world, n)


async def child(n: int, context: Context, used: Ledger | None = None) -> None:
    with acting(n, "child") as world:
        try:
            await pauses(world, used, "pool")
            if world.chance(0.2):
                raise Broken("child")
            if world.chance(0.2):
                _spawn_another(world, n, context, used)
        finally:
            if world.chance(0.3):
                await asyncio.sleep(world.pause())
                if used is not None:
                    used.use("pool")


def _spawn_another(world: World, n: int, context: Context, used: Ledger | None) -> None:
    try:
        context.spawn(child(n, context, used))
    except MisuseError:
        world.note("child", n, "is too late to spawn")


# -- the rest of the server -------------------------------------------------------------------------------------------


@tool
async def nests(n: int, context: Context) -> int:
    with acting(n, "nests") as world:
        name = world.random.choice(NESTED)
        if world.chance(0.3):
            async with asyncio.TaskGroup() as group:
                group.create_task(context.call_tool(name, {"n": n}))
                group.create_task(context.call_tool("aware", {"n": n}))
        else:
            await context.call_tool(name, {"n": n})
        if world.chance(0.3):
            await context.read_resource(f"shelf://{n}")
        await pauses(world)
        return outcome(world, n)


@tool(timeout=1.5)
async def nests_in_time(n: int, context: Context) -> int:
    with acting(n, "nests_in_time") as world:
        await context.call_tool(world.random.choice(NESTED), {"n": n})
        return outcome(world, n)


@resource("shelf://{n}")
async def shelf(n: int, context: Context) -> str:
    with acting(n, "shelf") as world:
        await pauses(world)
        return str(outcome(world, n))


@prompt
async def greeting(n: str, pool: Pool, context: Context) -> str:
    with acting(int(n), "greeting") as world:
        await pauses(world, pool, "pool")
        await context.elicit(f"who is {n}?", key="who")
        return str(outcome(world, int(n)))


# -- asking the client ------------------------------------------------------------------------------------------------


@tool(annotations=REPEATABLE)
async def asks(n: int, context: Context) -> int:
    with acting(n, "asks") as world:
        await pauses(world)
        await context.elicit(f"how many, {n}?", int)
        await pauses(world)
        if world.chance(0.5):
            await context.elicit(f"and then, {n}?", str)
        return outcome(world, n)


@tool(timeout=1.0)
async def asks_for_several(n: int, pool: Pool, context: Context) -> int:
    with acting(n, "asks_for_several") as world:
        await pauses(world, pool, "pool")
        await context.ask(count=Elicit(f"how many, {n}?", int), said=Sample("well?"), where=Roots())
        pool.use("pool")
        return outcome(world, n)


@tool(output_schema=None)
async def asks_explicitly(n: int, context: Context) -> int | InputRequired:
    with acting(n, "asks_explicitly") as world:
        context.spawn(child(n, context))
        await pauses(world)
        rounds = context.round_state or 0
        if rounds > 1:
            return outcome(world, n)
        return InputRequired({"count": Elicit(f"how many, {n}, {rounds}?", int)}, state=rounds + 1)


@tool
async def asks_once(n: int, context: Context) -> int:
    with acting(n, "asks_once") as world:
        await context.once("drawn", world.random.random)
        await pauses(world)
        try:
            await context.elicit(f"how many, {n}?", int)
        finally:
            await pauses(world)
        return outcome(world, n)


@tool
async def asks_together(n: int, context: Context) -> int:
    with acting(n, "asks_together") as world:
        async with asyncio.TaskGroup() as group:
            group.create_task(_asked(n, context, "left"))
            group.create_task(_asked(n, context, "right"))
        return outcome(world, n)


@tool
async def asks_beside(n: int, context: Context) -> int:
    with acting(n, "asks_beside") as world:
        asking = context.spawn(_asked(n, context, "beside"))
        await pauses(world)
        if world.chance(0.5):
            await asking
        return outcome(world, n)


async def _asked(n: int, context: Context, side: str) -> None:
    await pauses(here.get())
    await context.elicit(f"what is {side}, {n}?")


# -- all of them ------------------------------------------------------------------------------------------------------

NESTED = (
    "bare",
    "hurried",
    "aware",
    "threaded",
    "threaded_bare",
    "on_loop",
    "begins",
    "depends",
    "depends_in_thread",
    "streams",
    "streams_in_thread",
    "streams_by_step",
    "lends",
    "masks",
    "cleans_up",
    "stubborn",
    "spawns",
    "nests",
    "nests_in_time",
    "asks",
    "asks_for_several",
    "asks_explicitly",
    "no such tool",
)
"""What handlers call of one another."""

TOOLS: dict[str, Any] = {each.name: each for each in list(globals().values()) if getattr(each, "kind", None) == "tool"}
RESOURCES: tuple[Any, ...] = (shelf,)
PROMPTS: tuple[Any, ...] = (greeting,)

GO_ON = frozenset({"threaded", "threaded_bare", "promises", "streams_in_thread", "depends_in_thread", "begins"})
"""What may go on after the answer: a thread whose time is up, and a task that is the handler's own."""
AT_ONCE = frozenset({"bare", "hurried", "aware", "asks", "streams", "on_loop", "on_loop_aware", "streams_by_step"})
"""What stops as soon as it is cancelled."""
