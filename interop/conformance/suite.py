"""Runs the official conformance suite against our server and our client, and judges more strictly than it does itself.

The suite is content with warnings, with checks that it has skipped, and with a scenario in which nothing was checked
at all. Here a scenario is passed if something of its own has succeeded and nothing else came of it: that its messages
fit the schema, which it checks on the side, is not enough. A client has to end well besides.
"""

from __future__ import annotations

import fcntl
import json
import pathlib
import re
import subprocess
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

from interop.serving import ROOT, serving

PACKAGE = ROOT / "interop" / "node_modules" / "@modelcontextprotocol" / "conformance"

LOOPBACK = pathlib.Path(__file__).with_name("loopback.cjs")

GOOD = ("SUCCESS", "INFO")
PATIENCE = 50
"""Seconds for one run of the suite."""
CLIENT_PATIENCE = 30
"""Seconds that a client has for one scenario."""

Side = Literal["server", "client"]
"""Which one is tested."""

Checks = list[dict[str, Any]]
"""What was checked in one scenario."""


class Leg(NamedTuple):
    """One run of the suite: what it found by scenario, how it ended, what it printed, and how our server ended."""

    scenarios: dict[str, Checks]
    status: int
    printed: str
    server_status: int
    server_said: str

    def complaints(self, scenario: str) -> list[str]:
        """Why this scenario is not passed; nothing if it is."""
        return complaints(self.scenarios.get(scenario, []))


class Trial(NamedTuple):
    """One scenario played with a client: what was checked, how the suite ended, and what it printed."""

    checks: Checks
    status: int
    printed: str

    def complaints(self, may_skip: Collection[str] = ()) -> list[str]:
        """Why the client has not passed; nothing if it has. `may_skip` names checks that need not be made."""
        told = complaints(self.checks, may_skip)
        ended = re.findall(r"Client exited with code \d+|Client timed out after \d+ms", self.printed)
        return [*told, *ended, *([] if self.status == 0 else [f"the suite ended with status {self.status}"])]


def complaints(checks: Checks, may_skip: Collection[str] = ()) -> list[str]:
    """Why a scenario with these checks is not passed; those of these names may have been skipped."""
    told = [
        f"{each['status']} {each['id']}: {each.get('errorMessage', each['description'])}"
        for each in checks
        if each["status"] not in GOOD and not (each["status"] == "SKIPPED" and each.get("name") in may_skip)
    ]
    own = [each["status"] for each in checks if not each["id"].startswith("wire-schema-")]
    return told if "SUCCESS" in own else [*told, "nothing has succeeded"]


def listed(node: str, side: Side, revision: str | None = None) -> set[str]:
    """The scenarios for servers or for clients that the suite itself has for this revision, or at all."""
    of_revision = [] if revision is None else ["--spec-version", revision]
    printed = subprocess.check_output([*suite(node), "list", f"--{side}", *of_revision], text=True, timeout=PATIENCE)
    return set(re.findall(r"^ +- (\S+)", printed, re.MULTILINE))


def required(side: Side, revision: str) -> list[str]:
    """The scenarios that the suite requires of servers or clients that claim this revision."""
    text = (PACKAGE / "requirements" / f"{revision}.yaml").read_text()
    found = re.search(rf"^{side}:\n((?:  - .+\n)+)", text, re.MULTILINE)
    assert found is not None
    return re.findall(r"- (\S+)", found[1])


def run_once(node: str, face: str, options: Sequence[str], folder: pathlib.Path) -> Leg:
    """A run of the suite with these options; of all who want the same one in this folder, the first one runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{face} {' '.join(options)}.json"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_text(json.dumps(run(node, face, options, kept.with_suffix(""))))
    return Leg(*json.loads(kept.read_text()))


def run(node: str, face: str, options: Sequence[str], folder: pathlib.Path) -> Leg:
    """Run the suite with these options against our server, which is started for it and ended."""
    with serving(face, "interop.conformance.server") as server:
        command = [*suite(node), "server", "--url", server.url, *options, "-o", str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found = {name_of(each.parent): json.loads(each.read_text()) for each in folder.glob("*/checks.json")}
    return Leg(found, ran.returncode, ran.stdout + ran.stderr, server.process.returncode, "".join(server.said))


def try_client(node: str, program: str, scenario: str, revision: str, folder: pathlib.Path) -> Trial:
    """Play a scenario over the wire of a revision with a client: `program` is its command, without blanks in a word."""
    options = ["--command", program, "--scenario", scenario, "--spec-version", revision, "-o", str(folder)]
    command = [*suite(node), "client", *options, "--timeout", str(CLIENT_PATIENCE * 1000)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found = [json.loads(each.read_text()) for each in folder.rglob("checks.json")]
    return Trial(found[0] if found else [], ran.returncode, ran.stdout + ran.stderr)


def suite(node: str) -> list[str]:
    """The command line of the suite."""
    return [node, "--require", str(LOOPBACK), str(PACKAGE / "dist" / "index.js")]


def name_of(folder: pathlib.Path) -> str:
    """The scenario whose checks are in this folder."""
    return re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", folder.name)
