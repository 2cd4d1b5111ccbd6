"""Trace context: what W3C allows is kept as it came, everything else is dropped without a word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.protocol.trace import MAX_BAGGAGE, MAX_TRACEPARENT, MAX_TRACESTATE, TraceContext, trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def test_the_example_of_the_specification() -> None:
    context = trace_context({"traceparent": PARENT, "progressToken": 1})
    assert context == TraceContext(PARENT, None, None)
    assert context.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert context.parent_id == "00f067aa0ba902b7"
    assert context.sampled


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_sampled_is_the_lowest_bit_of_the_flags(flags: str, sampled: bool) -> None:
    context = trace_context({"traceparent": PARENT[:-2] + flags})
    assert context is not None
    assert context.sampled is sampled


def test_without_a_traceparent_there_are_no_ids() -> None:
    context = trace_context({"baggage": "user=1"})
    assert context == TraceContext(None, None, "user=1")
    assert (context.trace_id, context.parent_id, context.sampled) == (None, None, False)


@pytest.mark.parametrize(
    "traceparent",
    [
        "01" + PARENT[2:],  # a version yet to come, with nothing new
        "cc" + PARENT[2:] + "-what-the-future-will-be-like",
        "fe" + PARENT[2:] + "-" + "x" * (MAX_TRACEPARENT - 56),
    ],
)
def test_a_later_version_is_kept_unchanged(traceparent: str) -> None:
    assert trace_context({"traceparent": traceparent}) == TraceContext(traceparent)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT + "-",
        PARENT + "-01",
        PARENT + " ",
        " " + PARENT,
        PARENT + "\r\n",
        PARENT[:-2] + "\r\n",
        PARENT.upper(),
        "ff" + PARENT[2:],
        "0x" + PARENT[2:],
        "cc" + PARENT[2:] + ".x",
        "cc" + PARENT[2:] + "-\r\nX-Header: 1",
        "cc" + PARENT[2:] + "-é",
        "cc" + PARENT[2:] + "-" + "x" * MAX_TRACEPARENT,
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        PARENT.replace("-", "_"),
        PARENT.replace("0af", "0ag"),
        "００" + PARENT[2:],
        "x" * 65536,
        None,
        5,
        [PARENT],
        {"traceparent": PARENT},
    ],
)
def test_a_malformed_traceparent_is_dropped_and_takes_the_tracestate_with_it(traceparent: Any) -> None:
    assert trace_context({"traceparent": traceparent, "tracestate": "a=1"}) is None
    assert trace_context({"traceparent": traceparent, "tracestate": "a=1", "baggage": "b=2"}) == TraceContext(
        baggage="b=2"
    )


@pytest.mark.parametrize(
    "tracestate",
    [
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",  # Trace Context section 3.3.1
        "rojo=1 , \tcongo=2",
        "a=1,,b=2",
        "fw529a3039@dt=FfAAAAA",
        "1a-_*/@b=x y!~",
        "k=" + "v" * 256,
        "k" * 256 + "=v",
        ",".join(f"k{number}=v" for number in range(32)),
    ],
)
def test_a_wellformed_tracestate_is_kept_unchanged(tracestate: str) -> None:
    assert trace_context({"traceparent": PARENT, "tracestate": tracestate}) == TraceContext(PARENT, tracestate)


@pytest.mark.parametrize(
    "tracestate",
    [
        "",
        " ",
        ",",
        "a",
        "=1",
        "a=",
        "A=1",
        "_a=1",
        "a=1,a=2",
        "a=b=c",
        "a=é",
        "a=1\tb",
        "a=1\r\nX-Header: 1",
        "a=1\n",
        "k=" + "v" * 257,
        "k" * 257 + "=v",
        ",".join(f"k{number}=v" for number in range(33)),
        ",".join(f"k{number}={'v' * 256}" for number in range(MAX_TRACESTATE // 256)),
        5,
    ],
)
def test_a_malformed_tracestate_is_dropped_alone(tracestate: Any) -> None:
    assert trace_context({"traceparent": PARENT, "tracestate": tracestate}) == TraceContext(PARENT)


@pytest.mark.parametrize(
    "baggage",
    [
        "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue",  # Baggage 3.3.2
        "userId=alice",
        "serverNode=DF%2028,isProduction=false",
        "a=",
        "a=b=c",
        "a=1\t,\tb=2 ; p",
        ",".join(f"k{number}=v" for number in range(180)),
        "k=" + "v" * (MAX_BAGGAGE - 2),
    ],
)
def test_wellformed_baggage_is_kept_unchanged(baggage: str) -> None:
    assert trace_context({"baggage": baggage}) == TraceContext(baggage=baggage)


@pytest.mark.parametrize(
    "baggage",
    [
        "",
        "a",
        "=1",
        "a=1,",
        "a=1;",
        "a b=1",
        "a=1 2",
        'a="1"',
        "a=\\",
        "a=é",
        "a=1\r\nX-Header: 1",
        "a=1\n",
        "a=1\x00",
        "a=1;b\x7f",
        ",".join(f"k{number}=v" for number in range(181)),
        "k=" + "v" * (MAX_BAGGAGE - 1),
        "k=" + "v" * 65536,
        "," * 65536,
        ["a=1"],
    ],
)
def test_malformed_baggage_is_dropped_alone(baggage: Any) -> None:
    assert trace_context({"traceparent": PARENT, "baggage": baggage}) == TraceContext(PARENT)
    assert trace_context({"baggage": baggage}) is None


def test_a_context_is_written_back_as_it_was_read() -> None:
    meta = {"traceparent": PARENT, "tracestate": "a=1 , b=2", "baggage": "user = 1"}
    context = trace_context(meta)
    assert context is not None
    assert context.to_meta() == meta
    assert TraceContext(PARENT).to_meta() == {"traceparent": PARENT}


values = (
    st.text() | st.text(alphabet="0123abc-=,; \t\r\n", max_size=80) | st.integers() | st.none() | st.lists(st.text())
)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "other"]), values))
def test_nothing_is_raised_and_what_is_kept_is_unchanged_and_safe_in_a_header(meta: dict[str, Any]) -> None:
    context = trace_context(meta)
    for key, value in context.to_meta().items() if context else ():
        assert meta[key] == value
        assert value.isascii()
        assert value.replace("\t", "").isprintable()


hexes = st.text(alphabet="0123456789abcdef", min_size=48, max_size=48).filter(
    lambda digits: digits[:32].strip("0") != "" and digits[32:].strip("0") != ""
)


@given(hexes, st.integers(0, 255))
def test_every_wellformed_traceparent_is_kept(digits: str, flags: int) -> None:
    traceparent = f"00-{digits[:32]}-{digits[32:]}-{flags:02x}"
    assert trace_context({"traceparent": traceparent}) == TraceContext(traceparent)
