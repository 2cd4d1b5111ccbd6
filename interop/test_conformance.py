"""The official conformance suite against our server over HTTP: through the lane, and as an ASGI application of uvicorn.

Each leg is one run of the suite, one test each of its scenarios; `conformance/suite.py` says what it is to pass one.
The server is `conformance/server.py`. `test_conformance_client.py` has the scenarios for clients.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interop.conformance.scenarios import EXCEPTIONS, REQUIRED, SCENARIOS
from interop.conformance.suite import Leg, complaints, listed, required, run_once
from interop.serving import ENDS, alarming

RunLeg = Callable[..., Leg]


@pytest.fixture(params=ENDS, scope="module")
def face(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def run_leg(face: str, node: str, tmp_path_factory: pytest.TempPathFactory, worker_id: str, testrun_uid: str) -> RunLeg:
    """`run_leg(*options)` is one run of the suite with these options, the same one for whoever asks."""
    base = tmp_path_factory.getbasetemp()
    folder = base / "conformance" if worker_id == "master" else base.parent / f"conformance-{testrun_uid}"
    return lambda *options: run_once(node, face, options, folder)


def wire(revision: str) -> tuple[str, ...]:
    return ("--suite", "all", "--spec-version", revision)


@pytest.mark.parametrize(
    ("revision", "scenario"), [(revision, each) for revision, names in SCENARIOS.items() for each in names]
)
def test_each_scenario(run_leg, revision, scenario):
    if scenario in EXCEPTIONS:
        pytest.skip(EXCEPTIONS[scenario])
    told = run_leg(*wire(revision)).complaints(scenario)
    assert not told, "\n".join(told)


@pytest.mark.parametrize("revision", REQUIRED)
def test_all_that_is_required(run_leg, revision):
    leg = run_leg("--requirements", revision)
    told = {each: found for each in required("server", revision) if (found := leg.complaints(each))}
    assert not told
    assert not EXCEPTIONS.keys() & required("server", revision)
    assert len(required("server", revision)) == REQUIRED[revision]
    assert leg.status == 0, leg.printed


@pytest.mark.parametrize("options", [*map(wire, SCENARIOS), *(("--requirements", each) for each in REQUIRED)])
def test_the_server_has_nothing_to_complain_of_and_ends_well(run_leg, face, options):
    leg = run_leg(*options)
    assert (alarming(leg.server_said), leg.server_status) == ([], ENDS[face])


@pytest.mark.parametrize("revision", SCENARIOS)
def test_no_scenario_is_left_out(node, revision):
    assert set(SCENARIOS[revision]) == listed(node, "server", revision)


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ("own SUCCESS, wire-schema-valid SUCCESS, own INFO", []),
        ("own SUCCESS, own FAILURE", ["FAILURE own: failure"]),
        ("own SUCCESS, own WARNING", ["WARNING own: warning"]),
        ("own SUCCESS, own SKIPPED", ["SKIPPED own: skipped"]),
        ("own SUCCESS, wire-schema-valid FAILURE", ["FAILURE wire-schema-valid: failure"]),
        ("wire-schema-valid SUCCESS, own INFO", ["nothing has succeeded"]),
        ("", ["nothing has succeeded"]),
    ],
)
def test_what_it_is_to_pass(statuses, told):
    pairs = [each.split() for each in statuses.split(", ") if each]
    checks = [{"id": name, "status": status, "description": status.lower()} for name, status in pairs]
    assert complaints(checks) == told
