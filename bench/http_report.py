"""The section of `docs/benchmarks.md` on HTTP under load: every server with every number of connections."""

from measurements import Loaded, Results

NAMES = {
    "floor": "floor: bare httptools and uvloop",
    "lane": '**Tybalt**, `server.run("http")`',
    "uvicorn": "floor: uvicorn, bare ASGI",
    "asgi": "**Tybalt**, `server.asgi()` under uvicorn",
}

HEAD = """## Over HTTP, under load

`tools/call`, one server process on one core. Each connection asks again as soon as it was answered, so with many of
them a call takes what the whole queue takes; the time that counts is the rate and the processor time. The load comes
from another process on another core, which checks every answer. It is written in Python as well, and where it was busy
all the time (the last column) the server could have done more: there the processor time tells, and not the rate. Tybalt
and the floors run on uvloop and httptools, the peers as their documentation starts them. The floors answer constant
bytes, whatever they are asked.
"""


def section(results: Results) -> str:
    """A table for each Python; nothing where nothing was measured."""
    if not results.loads:
        return ""
    parts = [HEAD]
    for python in dict.fromkeys(each.python for each in results.loads):
        parts += [
            f"Python {python}:\n",
            "| server | connections | calls/s | processor time per call | P50 | P99 | load busy |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(_line(each) for each in _in_order([each for each in results.loads if each.python == python])),
            "",
        ]
    return "\n".join(parts)


def _in_order(loads: list[Loaded]) -> list[Loaded]:
    names = [*NAMES, *(each.name for each in loads)]
    return sorted(loads, key=lambda each: (each.connections, names.index(each.name)))


def _line(each: Loaded) -> str:
    cpu = "–" if each.cpu is None else f"{each.cpu:,.1f} µs"
    return (
        f"| {NAMES.get(each.name, each.name)} | {each.connections:,} | {each.rate:,.0f} | {cpu} "
        f"| {each.p50:,.2f} ms | {each.p99:,.2f} ms | {each.load:.0%} |"
    )
