"""Servers that are not ours, over HTTP: the fixtures of the tests in which our client uses them.

`served` is one that runs, `peer` the era in which it is asked, `foreign` the server for one test: what our client posts
to it is written down, and judged by the published schemas when the test is over.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from interop.conftest import FOLDER, complain
from interop.recordings import Recording
from interop.serving import listening, serving
from interop.test_foreign_servers import Peer
from interop.wire import complaints_about_client
from tests.leaks import FAILED


class Place(NamedTuple):
    """A foreign server, and how it is served: by a face of `servers/over_http.py`, or as a program of node."""

    face: str
    module: str

    @property
    def name(self) -> str:
        """For people."""
        return self.module if self.face == "node" else self.module + self.face.removeprefix("foreign")

    @property
    def peers(self) -> Iterator[Peer]:
        """The eras that it has, and the revisions that come of them."""
        only_legacy = self == OLD_SDK
        yield Peer(self.name, "auto", "2025-11-25" if only_legacy else "2026-07-28")
        yield Peer(self.name, "legacy", "2025-11-25")
        if not only_legacy:
            yield Peer(self.name, "modern", "2026-07-28")


SDK = Place("foreign", "python_sdk_more")
OLD_SDK = Place("foreign-sse", "python_sdk_more")
"""The same over the transport of 2024-11-05."""
JSON_SDK = Place("foreign-json", "python_sdk_more")
"""The same without sessions and streams: it says nothing but its answers."""
RESUMABLE_SDK = Place("foreign-resumable", "python_sdk_more")
"""The same with streams that can be gone on with."""
FASTMCP = Place("foreign", "fast_mcp")
TYPESCRIPT = Place("node", "typescript_http")


class Served(NamedTuple):
    """A foreign server that runs: where it is, and what has been posted to it."""

    target: str
    record: pathlib.Path
    before: int = 0

    @property
    def recording(self) -> Recording:
        """What this test's client has posted so far."""
        everything = Recording.of(self.record)
        return replace(everything, lines=everything.lines[self.before :])

    @property
    def resumptions(self) -> int:
        """How often any client has come to go on with a stream so far."""
        return sum(line.startswith("~ ") for line in self.record.read_text("utf-8").splitlines())


def at(*places: Place) -> pytest.MarkDecorator:
    """With each of these servers, in every era it has."""
    cases = [(place, peer) for place in places for peer in place.peers]
    ids = [f"{peer.server}-{peer.era}" for _, peer in cases]
    # The scope lets pytest order the tests by server.
    return pytest.mark.parametrize(("served", "peer"), cases, ids=ids, indirect=True, scope="module")


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server."""
    place: Place = request.param
    record = tmp_path_factory.mktemp("overheard") / "posted.txt"
    if place.face == "node":
        command = [node, str(FOLDER / "servers" / f"{place.module}.mjs"), str(record)]
        with listening(command, r"http://127\.0\.0\.1:\d+") as (_, url, _):
            yield Served(f"{url}/mcp", record)
        return
    with serving(place.face, f"interop.servers.{place.module}", record) as server:
        yield Served(f"{server.url.removesuffix('/mcp')}/sse" if place is OLD_SDK else server.url, record)


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Peer:
    """The era."""
    return request.param


@pytest.fixture
def foreign(request: pytest.FixtureRequest, served: Served) -> Iterator[Served]:
    """The server, in one test."""
    now = served._replace(before=len(served.recording.lines))
    yield now
    if not request.node.stash.get(FAILED, False):
        assert now.recording.lines, "nothing was posted"
        complain(complaints_about_client(now.recording))
