"""The tree of errors and its one table: every row as it is answered, what is masked, and what a client makes of it."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tybalt.errors
from tests.protocol.conversations import connection, decoded, legacy, modern, ready
from tybalt.errors import (
    LONGEST_RETRY,
    TABLE,
    BackendError,
    ConnectionLost,
    Era,
    Forbidden,
    HeaderMismatch,
    InternalError,
    InvalidArguments,
    InvalidParams,
    InvalidRequest,
    McpError,
    MethodNotFound,
    MissingClientCapability,
    MisuseError,
    NotFound,
    Overloaded,
    ParseError,
    RateLimited,
    RegistrationError,
    RequestLost,
    RequestTimeout,
    ResourceNotFound,
    Row,
    TimedOut,
    ToolError,
    TransportClosed,
    TransportError,
    TybaltError,
    Unauthorized,
    UnexpectedResult,
    UnsupportedRevision,
    ValidationError,
    row_of,
    visible_text,
)
from tybalt.outcomes import Cancelled, Err, Panicked
from tybalt.protocol.client import ClientConnection, Failed
from tybalt.reasons import CancelKind, CancelReason, Interrupted
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import LATEST_MODERN, LEGACY, REVISIONS, era_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
SECRET = "hunter2"
ERAS: tuple[Era, ...] = ("modern", "legacy")
LEAVES = {401: Unauthorized, 403: Forbidden, 404: NotFound, 408: TimedOut, 429: RateLimited, 503: Overloaded}

ERRORS: dict[type[BaseException], Any] = {
    ParseError: ParseError,
    InvalidRequest: InvalidRequest,
    MethodNotFound: MethodNotFound,
    InvalidParams: InvalidParams,
    InvalidArguments: lambda text: InvalidArguments("book", text),
    ResourceNotFound: ResourceNotFound,
    ValidationError: ValidationError,
    Unauthorized: Unauthorized,
    Forbidden: Forbidden,
    NotFound: NotFound,
    TimedOut: TimedOut,
    RateLimited: lambda text: RateLimited(text, retry_after=2),
    BackendError: lambda text: BackendError(text, service="database"),
    InternalError: InternalError,
    Overloaded: lambda text: Overloaded(text, retry_after=0.5),
    HeaderMismatch: HeaderMismatch,
    MissingClientCapability: lambda text: MissingClientCapability({text: {}}),
    UnsupportedRevision: lambda text: UnsupportedRevision(text, [LATEST_MODERN]),
    McpError: lambda text: McpError(text, code=4242, data=[1]),
    ToolError: ToolError,
    BaseException: RuntimeError,
}
"""How to make one of each row from a text."""

UNDECLARED = (RegistrationError, TransportError, TransportClosed, ConnectionLost, RequestLost, RequestTimeout,
              UnexpectedResult, MisuseError, TybaltError)  # fmt: skip
"""The classes of the tree that no handler raises to answer with: if one escapes, it is a bug, and masked."""


def rows() -> Any:
    return pytest.mark.parametrize("kind", list(TABLE), ids=lambda kind: kind.__name__)


def answered(error: Any, revision: str, method: str, **options: Any) -> bytes:
    """What `error` is answered with in `revision`."""
    params = {"name": "book"}
    if era_of(revision) == "modern":
        served, request = connection(), modern(method, params)
    else:
        served, request = ready(revision), legacy(method, params)
    return served.respond(served.receive(request), error, **options)


class TestTable:
    def test_the_page_has_the_same_table(self) -> None:
        lines = PAGE.read_text(encoding="utf-8").splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("| error | code, modern |")) + 2
        assert lines[start : start + len(TABLE) + 1] == [*map(shown, TABLE, TABLE.values()), ""]

    def test_every_class_has_a_row_or_is_a_bug_when_it_escapes(self) -> None:
        classes = {each for each in vars(tybalt.errors).values() if isinstance(each, type)}
        errors = {each for each in classes if issubclass(each, BaseException)}
        assert errors == {*TABLE, *UNDECLARED} - {BaseException} and ERRORS.keys() == TABLE.keys()

    def test_the_tree_at_the_top_of_the_module_is_the_tree(self) -> None:
        found = re.findall(r"^    ([│├└─ ]*)(\w+)(?: +(-?\d+) )?", str(tybalt.errors.__doc__), re.MULTILINE)
        drawn = [(len(branches) // 4, name, code) for branches, name, code in found]
        path: list[str] = []
        for depth, name, code in drawn:
            path[depth:] = [name]
            kind = getattr(tybalt.errors, name)
            assert kind.__mro__[1].__name__ == (path[depth - 1] if depth else "Exception")
            if code:
                assert int(code) == kind.default_code == TABLE[kind].modern
        assert {name for _, name, _ in drawn} == {kind.__name__ for kind in (*TABLE, *UNDECLARED)} - {"BaseException"}

    def test_a_class_of_ones_own_has_the_row_of_its_nearest_base(self) -> None:
        class Locked(Forbidden):
            default_code = 423

        class Broken(ValueError, ToolError):
            pass

        assert row_of(Locked()) is TABLE[Forbidden] and Locked().code_in("modern") == 423
        assert row_of(Broken("x")) is TABLE[ToolError]
        assert all(row_of(kind("x")) is TABLE[BaseException] for kind in (*UNDECLARED, KeyError, SystemExit))

    def test_codes_of_our_own_are_http_statuses(self) -> None:
        for row in TABLE.values():
            assert 400 <= row.status < 600
            assert all(code is None or code < 0 or code == row.status for code in codes(row))

    def test_since_is_a_revision(self) -> None:
        assert {row.result_since for row in TABLE.values()} == {None, LEGACY[0], "2025-11-25"}


class TestAnswers:
    @rows()
    @pytest.mark.parametrize("revision", REVISIONS)
    def test_in_a_tool_the_row_says_result_or_error(self, kind: type[BaseException], revision: str) -> None:
        error = ERRORS[kind]("what happened")
        answer = decoded(answered(error, revision, "tools/call"))
        if TABLE[kind].is_result(revision):
            assert answer["result"]["isError"] is True and "error" not in answer
            assert answer["result"]["content"] == [{"type": "text", "text": visible_text(error)}]
        else:
            assert "result" not in answer and answer["error"]["code"] == expected_code(kind, revision)

    @rows()
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("wrap", [lambda error: error, Err, Panicked])
    def test_elsewhere_it_is_an_error_with_its_code(self, kind: type[BaseException], revision: str, wrap: Any) -> None:
        error = ERRORS[kind]("what happened")
        told = decoded(answered(wrap(error), revision, "prompts/get"))["error"]
        assert told["code"] == expected_code(kind, revision)
        assert told["message"] == (error.message if isinstance(error, McpError) else visible_text(error))
        assert told.get("data") == getattr(error, "data", None)

    def test_what_is_masked_has_the_text_of_whoever_logged_it(self) -> None:
        for error in (BackendError(SECRET), RuntimeError(SECRET)):
            for method in ("tools/call", "prompts/get"):
                answer = answered(error, LATEST_MODERN, method, masked="see abc")
                assert b"see abc" in answer and SECRET.encode() not in answer
        assert b"see abc" not in answered(NotFound(), LATEST_MODERN, "tools/call", masked="see abc")

    def test_a_limit_that_stopped_it_is_timed_out_and_any_other_cancel_is_overloaded(self) -> None:
        for kind in CancelKind:
            limit = kind in (CancelKind.TIMEOUT, CancelKind.DEADLINE, CancelKind.POLL_QUOTA, CancelKind.COST_QUOTA)
            cancelled = Cancelled(CancelReason(kind, "30 s"))
            told = decoded(answered(cancelled, LATEST_MODERN, "prompts/get"))["error"]
            assert told["code"] == (408 if limit else 503)
            assert told["message"] == "30 s" if limit else f"{kind.value}: 30 s" in told["message"]
            assert ("result" in decoded(answered(cancelled, LATEST_MODERN, "tools/call"))) is limit

    @given(
        kind=st.sampled_from([*ERRORS, *UNDECLARED, KeyError, SystemExit, RecursionError, Interrupted, ExceptionGroup]),
        revision=st.sampled_from(REVISIONS),
        method=st.sampled_from(["tools/call", "prompts/get"]),
        text=st.text(max_size=300),
    )
    def test_whatever_is_raised_one_answer_goes_out_and_nothing_masked_is_in_it(
        self, kind: type[BaseException], revision: str, method: str, text: str
    ) -> None:
        error = made(kind, f"{SECRET} {text}")
        answer = answered(error, revision, method)
        told = decoded(answer)
        if "error" in told:
            assert type(told["error"]["code"]) is int and type(told["error"]["message"]) is str
        else:
            assert method == "tools/call" and told["result"]["isError"] is True
        assert told["id"] == 1 and ("error" in told) != ("result" in told)
        assert not (row_of(error).masked and SECRET.encode() in answer)


class TestBackendErrors:
    def test_the_detail_is_for_the_log_and_the_message_for_the_peer(self) -> None:
        error = BackendError("connection refused to db-7", service="database")
        assert str(error) == "connection refused to db-7" and error.service == "database"
        assert error.message == visible_text(error) == "Database error" and error.data is None
        assert BackendError("x").message == "Upstream error"
        assert BackendError("x", service="payment API").message == "Payment API error"

    @pytest.mark.parametrize("service", ["", "a\nb", "\ud800", "x" * 101])
    def test_a_service_is_a_short_printable_text(self, service: str) -> None:
        with pytest.raises(MisuseError, match="short printable text"):
            BackendError("x", service=service)

    def test_a_copy_masks_as_well(self) -> None:
        error = BackendError(SECRET, service="database")
        for each in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (str(each), each.message, each.service) == (SECRET, "Database error", "database")


class TestRetryAfter:
    @pytest.mark.parametrize("kind", [RateLimited, Overloaded])
    def test_it_travels_in_data(self, kind: Any) -> None:
        assert kind(retry_after=1.5).data == {"retryAfter": 1.5} and kind(retry_after=1.5).retry_after == 1.5
        assert kind().data is None and kind().retry_after is None
        assert copy.copy(kind(retry_after=3)).retry_after == 3

    @pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), LONGEST_RETRY + 1, "30", True])
    def test_nonsense_is_misuse_here_and_nothing_from_a_peer(self, seconds: Any) -> None:
        with pytest.raises(MisuseError, match="`retry_after` is in seconds, from 0 to 31536000; got"):
            RateLimited(retry_after=seconds)
        assert McpError.received(429, "x", {"retryAfter": seconds}).retry_after is None

    @pytest.mark.parametrize("data", [None, 5, [], {}, {"retryAfter": None}, {"retryAfter": 10**400}])
    def test_other_data_says_nothing(self, data: Any) -> None:
        assert McpError("x", data=data).retry_after is None


class TestReceiving:
    @pytest.mark.parametrize(("code", "kind"), LEAVES.items())
    def test_a_code_of_ours_is_the_leaf_it_stands_for(self, code: int, kind: type[McpError]) -> None:
        error = McpError.received(code, "no", {"retryAfter": 7})
        assert type(error) is kind and (error.code, error.message, error.retry_after) == (code, "no", 7)

    @pytest.mark.parametrize("kind", LEAVES.values())
    @pytest.mark.parametrize("revision", [LEGACY[0], LATEST_MODERN])
    def test_what_a_server_raises_a_client_catches(self, kind: type[McpError], revision: str) -> None:
        client = ClientConnection(Implementation(name="c", version="1"))
        client.adopt(revision)
        client.request("prompts/get")
        event = client.receive(answered(ERRORS[kind]("no"), revision, "prompts/get"))
        assert isinstance(event, Failed) and type(event.error) is kind
        assert event.error.retry_after == ERRORS[kind]("no").retry_after

    def test_a_code_of_nobodys_is_a_plain_error(self) -> None:
        assert type(McpError.received(418, "teapot")) is McpError


class TestCodes:
    @pytest.mark.parametrize("era", ERAS)
    def test_a_code_that_an_era_has_not_never_goes_out_in_it(self, era: Era) -> None:
        known = {row.code(era) for row in TABLE.values()}
        foreign = {code for row in TABLE.values() for code in codes(row)} - known
        assert foreign == ({-32002} if era == "modern" else {-32020, -32021, -32022})
        for code in foreign:
            assert McpError("x", code=code).code_in(era) in known

    @pytest.mark.parametrize("era", ERAS)
    def test_a_code_of_ones_own_goes_out_as_it_is(self, era: Era) -> None:
        assert McpError("x", code=402).code_in(era) == InvalidParams("x", code=402).code_in(era) == 402

    def test_defaults_say_what_happened(self) -> None:
        assert [str(kind()) for kind in LEAVES.values()] == [
            "Authentication required",
            "Permission denied",
            "Not found",
            "The request timed out",
            "Rate limit exceeded",
            "Overloaded; send it again later",
        ]


def shown(kind: type[BaseException], row: Row) -> str:
    """A row as the page has it."""
    name = "anything else" if kind is BaseException else f"`{kind.__name__}`"
    modern_code, legacy_code = ("its own" if code is None else str(code) for code in (row.modern, row.legacy))
    answer = {None: "error", LEGACY[0]: "result"}.get(row.result_since, f"error; result from {row.result_since} on")
    seen = "its text" if not row.masked else "its service" if kind is BackendError else "nothing of it"
    retry = "yes" if row.retryable else "no"
    return f"| {name} | {modern_code} | {legacy_code} | {row.status} | {answer} | {seen} | {retry} |"


def codes(row: Row) -> set[int | None]:
    return {row.modern, row.legacy}


def expected_code(kind: type[BaseException], revision: str) -> int:
    code = TABLE[kind].code(era_of(revision))
    return 4242 if code is None else code


def made(kind: type[BaseException], text: str) -> BaseException:
    """An exception of `kind`, whatever its constructor wants."""
    if kind is Interrupted:
        return Interrupted(CancelReason(CancelKind.SHUTDOWN, text))
    if kind is ExceptionGroup:
        return ExceptionGroup(text, [ValueError(text), NotFound(text)])
    return ERRORS.get(kind, kind)(text)
