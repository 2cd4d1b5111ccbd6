"""The limit of open files, as systems have it that this one is not. test_process.py has the limit of this one."""

from __future__ import annotations

import sys

import pytest

from tybalt.server.http.open_files import MACOS_MOST, SPARE, make_room

if sys.platform == "win32":
    pytest.skip("there is no such limit there", allow_module_level=True)

import resource

ENDLESS = resource.RLIM_INFINITY
MAX_CONNECTIONS = 10_000
NEEDED = MAX_CONNECTIONS + SPARE


class System:
    """A system that says it gives `hard` files, and gives `most`."""

    def __init__(self, soft: int, hard: int, most: int = sys.maxsize) -> None:
        self.soft, self.hard, self.most = soft, hard, most

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.soft, self.hard

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        assert limits[1] == self.hard, "the hard limit is not ours to change"
        if limits[0] > self.most:
            raise ValueError("current limit exceeds maximum limit")
        self.soft = limits[0]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch):
    def made(system: System, connections: int = MAX_CONNECTIONS) -> str | None:
        monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
        monkeypatch.setattr(resource, "setrlimit", system.setrlimit)
        return make_room(connections)

    return made


@pytest.mark.parametrize("hard", [NEEDED, 1_048_576, ENDLESS])
def test_it_is_raised_to_what_is_needed(hard: int, room) -> None:
    system = System(1_024, hard)
    assert room(system) is None
    assert system.soft == NEEDED


@pytest.mark.parametrize("soft", [NEEDED, 20_000, ENDLESS])
def test_it_is_never_lowered(soft: int, room) -> None:
    system = System(soft, ENDLESS)
    assert room(system) is None
    assert system.soft == soft


def test_where_the_hard_limit_is_too_low_it_is_said_with_a_remedy(room) -> None:
    system = System(1_024, 4_096)
    assert room(system) == (
        "max_connections=10,000 needs 10,200 open files, and the system lets this process have 4,096: raise its hard "
        "limit (LimitNOFILE=10200 of systemd, --ulimit nofile=10200 of docker run, `ulimit -Hn 10200` as root), or "
        "give server.run('http', …) max_connections=3896"
    )
    assert system.soft == 4_096


def test_an_older_macos_gives_what_it_has_though_it_says_that_there_is_no_limit(room) -> None:
    system = System(256, ENDLESS, most=MACOS_MOST)
    assert room(system) is None  # The default fits.
    system = System(256, ENDLESS, most=MACOS_MOST)
    assert "have 10,240: " in room(system, 50_000)
    assert system.soft == MACOS_MOST


def test_a_system_that_gives_nothing_leaves_it_as_it_is(room) -> None:
    system = System(256, ENDLESS, most=256)
    assert "have 256: " in room(system)
    assert system.soft == 256
