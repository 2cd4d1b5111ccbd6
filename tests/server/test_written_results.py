"""What unusual types become as results: what is sent is what the schema says, and what is neither is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from typing import Annotated, Any, Literal

import attrs
import jsonschema_rs
import pytest
from pydantic import PlainSerializer

from tests.server.driving import Driver
from tybalt import Server


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


Epoch = Annotated[datetime, PlainSerializer(seconds)]
Price = Annotated[Decimal, PlainSerializer(float, return_type=float)]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@attrs.define
class Secretive:
    _secret: int
    shown: int = 2


class Access(IntFlag):
    READ = 1
    WRITE = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(Enum):
    WORD = "word"
    NUMBER = 3


def result(annotation: Any, value: Any) -> tuple[Any, dict[str, Any]]:
    """What a tool with this return annotation says for a value, and its output schema."""

    def tool() -> Any:
        return value

    tool.__annotations__["return"] = annotation
    driver = Driver(Server("x", run_in="loop", tools=[tool]))
    (described,) = driver.result("tools/list")["tools"]
    return driver.result("tools/call", {"name": "tool"}), described["outputSchema"]


@pytest.mark.parametrize(
    ("annotation", "value", "written"),
    [
        (list[Epoch], [NEW_YEAR], [1767225600]),
        (Epoch | None, NEW_YEAR, 1767225600),
        (tuple[Epoch, int], (NEW_YEAR, 1), [1767225600, 1]),
        (dict[str, list[Epoch | None]], {"a": [NEW_YEAR, None]}, {"a": [1767225600, None]}),
        (dict[str, Price], {"a": Decimal("1.5")}, {"a": 1.5}),
        (Secretive, Secretive(1), {"shown": 2}),
        (list[Secretive], [Secretive(1, 3)], [{"shown": 3}]),
        (Access, Access.READ | Access.WRITE, 3),
        (Access, Access(0), 0),
        (dict[Level, int], {Level.LOW: 5}, {"1": 5}),
        (dict[Mixed, int], {Mixed.WORD: 5, Mixed.NUMBER: 6}, {"word": 5, "3": 6}),
        (dict[Literal[1, 2], int], {2: 5}, {"2": 5}),
        (dict[int, str], {-1: "a", 10**20: "b"}, {"-1": "a", str(10**20): "b"}),
        (dict[Access, str], {Access.READ | Access.WRITE: "a"}, {"3": "a"}),
        (dict[int | date, str], {5: "a", date(2026, 1, 1): "b"}, {"5": "a", "2026-01-01": "b"}),
        (dict[int | float, str], {1.5: "a"}, {"1.5": "a"}),
        (dict[float, str], {1.5: "a"}, {"1.5": "a"}),
        (list[Decimal], [Decimal("1.10")], ["1.10"]),
        (Decimal | int, 3, 3),
    ],
)
def test_it_is_sent_as_its_schema_says(annotation: Any, value: Any, written: Any) -> None:
    said, schema = result(annotation, value)
    assert said.get("structuredContent") == written, said
    assert jsonschema_rs.validator_for(schema).is_valid(written)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict[int, str], {"x": "a"}),
        (dict[Level, int], {3: 5}),
        (dict[Literal[1, 2], int], {3: 5}),
        (Decimal, 3),
        (list[Decimal], [3.5]),
        (list[Epoch], ["soon"]),
        (Access, "READ"),
        (int, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_schema_does_not_allow_is_refused(
    annotation: Any, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said, _ = result(annotation, value)
    assert said["isError"] is True
    assert "structuredContent" not in said
    assert "that its return annotation does not allow" in caplog.text
    assert ("Did you forget `return`? Change the annotation" in caplog.text) == (value is None)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict[Level, int], {"1": 1}),
        (dict[Literal[1, 2], int], {"2": 1}),
        (dict[int, int], {"-7": 1}),
        (Access, 3),
        (dict[Access, int], {"3": 1}),
    ],
)
def test_a_client_that_checks_can_send_it(annotation: Any, value: Any) -> None:
    def tool(given: Any) -> str:
        return repr(given)

    tool.__annotations__["given"] = annotation
    driver = Driver(Server("x", run_in="loop", tools=[tool]))
    (described,) = driver.result("tools/list")["tools"]
    assert jsonschema_rs.validator_for(described["inputSchema"]).is_valid({"given": value})
    said = driver.result("tools/call", {"name": "tool", "arguments": {"given": value}})
    assert not said.get("isError"), said
