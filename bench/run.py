"""`make bench`: measures every row of the performance table for us, the floors and the peers, and writes what it found.

    python bench/run.py                   everything: bench/results/latest.json, docs/benchmarks.md and its plot
    python bench/run.py --quick           fewer and shorter rounds, about two minutes; docs/ stays as it is
    python bench/run.py --only stdio      one part: inprocess, memory, claims, stdio, start, http, client; not docs/
    python bench/run.py --no-peers        without mcp and fastmcp; docs/ stays as it is
    python bench/run.py --report          write docs/ once more from bench/results/latest.json

Nothing here is a test: it fails only when something cannot be measured or a floor does not answer what we answer.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic

import environments
import msgspec
import report
from environments import BENCH, CHILD_ENVIRONMENT
from measurements import Results, best_row
from timing import Effort

LATEST = BENCH / "results" / "latest.json"
IN_ONE_PROCESS = ("inprocess", "memory", "claims")
WITH_PROCESSES = {"stdio": "stdio", "start": "start", "http": "http_rows", "client": "client_rows"}
"""The parts that start processes, and the modules that measure them."""


def main() -> int:
    options = _parser().parse_args()
    if options.report:
        _write_docs(msgspec.json.decode(LATEST.read_bytes(), type=Results))
        return 0
    started = monotonic()
    results = _measure(options)
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    print(report.summary(results))
    if not (options.quick or options.only or options.no_peers):
        _write_docs(results)
    print(f"bench: {monotonic() - started:.0f} s; {LATEST.relative_to(environments.ROOT)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", action="append", choices=[*IN_ONE_PROCESS, *WITH_PROCESSES], help="just this part")
    parser.add_argument("--no-peers", action="store_true", help="do not install or measure mcp and fastmcp")
    parser.add_argument("--report", action="store_true", help="measure nothing; write docs/ from the last results")
    return parser


def _measure(options: argparse.Namespace) -> Results:
    effort = Effort(quick=options.quick)
    wanted = options.only or [*IN_ONE_PROCESS, *WITH_PROCESSES]
    missing: list[str] = []
    pythons = environments.pythons(missing)
    peers = {} if options.no_peers else environments.peers(missing)
    results = Results(machine=_machine(pythons), missing=missing, quick=options.quick)
    for python, interpreter in pythons.items():
        for part in IN_ONE_PROCESS:
            if part in wanted:
                print(f"bench: {part}, Python {python}", file=sys.stderr, flush=True)
                results.add(_in_one_process(part, interpreter, quick=options.quick))
    if "memory" in wanted:
        _peers_in_memory(results, peers, effort)
    for part, module in WITH_PROCESSES.items():
        if part in wanted:
            print(f"bench: {part}", file=sys.stderr, flush=True)
            results.add(importlib.import_module(module).measure(pythons, peers, effort))
    return results


def _in_one_process(part: str, interpreter: str, *, quick: bool) -> Results:
    command = [interpreter, str(BENCH / "worker.py"), part] + (["--quick"] if quick else [])
    worked = subprocess.run(command, env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, check=False)
    if worked.returncode != 0:
        raise SystemExit(f"bench: {part} could not be measured; the worker ended with {worked.returncode}")
    return msgspec.json.decode(worked.stdout, type=Results)


def _peers_in_memory(results: Results, peers: Mapping[str, str], effort: Effort) -> None:
    """Each peer's own in-memory client, put beside our rows of the newest Python."""
    if not results.rows:
        return
    newest = results.rows[-1].python
    for name, interpreter in peers.items():
        print(f"bench: memory, {name}", file=sys.stderr, flush=True)
        command = [interpreter, str(BENCH / "peers" / f"{name}_peer.py"), "memory", str(effort.process_rounds)]
        said = subprocess.run(
            command, env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        by_era = json.loads(said.stdout)
        for key, era in (("memory", "modern"), ("memory-legacy", "legacy"), ("direct", "modern")):
            row = best_row(results.rows, key, newest)
            if row is not None:
                row.peers[name] = by_era[era]


def _machine(pythons: Mapping[str, str]) -> dict[str, str]:
    """What the figures depend on; nothing that says whose machine it is or where things lie on it."""
    exact = [_ask(python, "import sys; print('%d.%d.%d' % sys.version_info[:3])") for python in pythons.values()]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": ", ".join(exact),
        "msgspec": _ask(sys.executable, "import msgspec; print(msgspec.__version__)"),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _ask(python: str, program: str) -> str:
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def _write_docs(results: Results) -> None:
    report.PAGE.write_text(report.markdown(results))
    report.PLOT.write_text(report.svg(results))
    print(f"bench: wrote {report.PAGE.relative_to(environments.ROOT)} and its plot")


if __name__ == "__main__":
    sys.exit(main())
