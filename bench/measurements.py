"""What is measured: a `Row` holds ours, its floor, its peers and its goals; a `Claim`, someone's figure beside ours.

Only data and the arithmetic of goals. How it is measured is the business of the modules named for their rows; how it
is shown, of `report`.
"""

from typing import Literal

from msgspec import Struct, field


class Goal(Struct, frozen=True, kw_only=True):
    """A bound on `ours / floor`, on `ours - floor`, on `ours` itself, or on `peer / ours` (how many times as fast).

    `at_least` turns the bound around: for rates, where more is better, and for peers.
    """

    of: Literal["ratio", "difference", "value", "peer"]
    bound: float
    at_least: bool = False
    peer: str = ""


class Row(Struct, kw_only=True):
    """One measurement with one Python. `ours` and `floor` are the best of all rounds, in `unit`."""

    key: str
    what: str
    python: str
    unit: str
    ours: float
    floor: float | None = None
    floor_is: str = ""
    goals: list[Goal] = field(default_factory=list)
    peers: dict[str, float] = field(default_factory=dict)
    more_is_better: bool = False
    note: str = ""
    loop: str = "asyncio"

    def reached(self, goal: Goal) -> float | None:
        """What the goal looks at, or None where it was not measured."""
        if goal.of == "value":
            return self.ours
        if goal.of == "peer":
            peer = self.peers.get(goal.peer)
            return None if peer is None else (self.ours / peer if self.more_is_better else peer / self.ours)
        if self.floor is None:
            return None
        return self.ours / self.floor if goal.of == "ratio" else self.ours - self.floor

    def meets(self, goal: Goal) -> bool | None:
        """Whether the goal is met; None where what it looks at was not measured."""
        reached = self.reached(goal)
        if reached is None:
            return None
        return reached >= goal.bound if goal.at_least else reached <= goal.bound


class Piece(Struct, kw_only=True):
    """A part of a path measured alone: where the time of a row goes."""

    key: str
    what: str
    python: str
    microseconds: float


class Claim(Struct, kw_only=True):
    """A published figure and what we measure beside it; `ours` and `p99` are texts with their units."""

    what: str
    theirs: str
    python: str
    ours: str
    p99: str = "–"
    how: str = ""


class Loaded(Struct, kw_only=True):
    """A server over HTTP under the load of so many connections: the best of each figure.

    `rate` in calls a second, `cpu` in microseconds of the server's processor time for each (None where it cannot be
    read), `p50` and `p99` in milliseconds, `load` how busy the load generator was, of 1.
    """

    name: str
    python: str
    connections: int
    rate: float
    cpu: float | None
    p50: float
    p99: float
    load: float


class Results(Struct, kw_only=True):
    """Everything of one run."""

    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    loads: list[Loaded] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
    quick: bool = False

    def add(self, other: "Results") -> None:
        """Take over what another part of the run has measured."""
        self.rows += other.rows
        self.pieces += other.pieces
        self.claims += other.claims
        self.loads += other.loads
        self.missing += other.missing


def best_row(rows: list[Row], key: str, python: str) -> Row | None:
    """The row with this key and Python, on asyncio's own loop."""
    return next((row for row in rows if (row.key, row.python, row.loop) == (key, python, "asyncio")), None)
