"""A client and a server in one process: over a memory transport, and by direct calls with no task between."""

import asyncio

import floors
import ours
from measurements import Goal, Results, Row
from messages import ARGUMENTS, call
from timing import Effort, Run, calls, interleave

from tybalt import Client
from tybalt.transports.memory import memory_pair


async def measure(python: str, effort: Effort, loop: str = "asyncio") -> Results:
    results = Results(machine={})
    results.rows.append(await _over_transport(python, effort, "modern", loop))
    if loop == "asyncio":
        results.rows.append(await _over_transport(python, effort, "legacy", loop))
        results.rows.append(await _direct(python, effort))
    return results


async def _over_transport(python: str, effort: Effort, era: str, loop: str) -> Row:
    here, there = memory_pair()
    serving = asyncio.create_task(ours.server_add().serve(there))
    queues = floors.TwoQueues()
    async with Client(here, era=era) as client:
        best = await interleave({"ours": _calling(client), "floor": queues.run}, effort)
    await serving
    await queues.aclose()
    goals = [Goal(of="ratio", bound=2.5), Goal(of="peer", peer="mcp", bound=20, at_least=True)]
    return Row(
        key="memory" if era == "modern" else f"memory-{era}",
        what=f"client → server → client in memory{'' if era == 'modern' else ', legacy era'}",
        python=python,
        unit="µs",
        ours=best["ours"],
        floor=best["floor"],
        floor_is="an empty round trip between two tasks over two queues",
        goals=goals if loop == "asyncio" else [],
        loop=loop,
    )


async def _direct(python: str, effort: Effort) -> Row:
    async with Client(ours.server_add()) as client:
        contenders = {
            "ours": _calling(client),
            "floor": calls(floors.validated, call()),
            "halves": calls(floors.both_halves, 7),
        }
        best = await interleave(contenders, effort)
    return Row(
        key="direct",
        what="client → server → client by direct call",
        python=python,
        unit="µs",
        ours=best["ours"],
        floor=best["floor"],
        floor_is="the validated floor",
        goals=[Goal(of="ratio", bound=5.0)],
        note=f"the validated floor with a client's half beside it: {best['halves']:.2f} µs",
    )


def _calling(client: Client) -> Run:
    async def run(count: int) -> None:
        call_tool = client.call_tool
        for _ in range(count):
            await call_tool("add", ARGUMENTS)

    return run
