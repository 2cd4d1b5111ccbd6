"""The official conformance suite against our client, over HTTP: each of its scenarios for clients, one at a time.

The program that it starts is `conformance/client.py`; `conformance/suite.py` says what it is to pass a scenario.
"""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

from interop.conformance.client_scenarios import AUTHORIZATION, EXTENSIONS, MAY_SKIP, SCENARIOS
from interop.conformance.suite import Trial, listed, required, try_client
from interop.serving import ROOT

# By a path from the checkout, in whose own path there may be blanks: the suite cuts the command at blanks.
PYTHON = os.path.relpath(sys.executable, ROOT)
CLIENT = f"{PYTHON} -m interop.conformance.client"
DOES_NOTHING = f"{PYTHON} -c pass"

EACH = [(revision, scenario) for revision, scenarios in SCENARIOS.items() for scenario in scenarios]
REQUIRED = {"2025-11-25": 18, "2026-07-28": 32}
"""How many scenarios the suite requires of a client that claims this revision, those of authorization among them."""

ATTEMPTS = 3
"""How often a scenario is played in which the client was late: one of them is about time, and a machine may be busy."""


@pytest.mark.parametrize("era", ["known", "auto"])
@pytest.mark.parametrize(("revision", "scenario"), EACH)
def test_each_scenario(node, tmp_path, era, revision, scenario):
    for attempt in range(ATTEMPTS):
        trial = try_client(node, f"{CLIENT} {era}", scenario, revision, tmp_path / str(attempt))
        told = trial.complaints(MAY_SKIP.get(scenario, ()))
        if not any(" late (" in each for each in told):
            break
    assert not told, "\n".join([*told, trial.printed])


@pytest.mark.parametrize(("revision", "scenario"), EACH)
def test_a_client_that_does_nothing_passes_none(node, tmp_path: pathlib.Path, revision, scenario):
    trial = try_client(node, DOES_NOTHING, scenario, revision, tmp_path)
    assert trial.complaints(MAY_SKIP.get(scenario, ()))
    assert "Client exited with code" not in trial.printed


def test_a_client_that_fails_has_not_passed(node, tmp_path):
    failing = f"{PYTHON} -m interop.conformance.no_such_client"
    trial = try_client(node, failing, "initialize", "2025-11-25", tmp_path)
    assert trial.complaints() == [
        "nothing has succeeded",
        "Client exited with code 1",
        "the suite ended with status 1",
    ]


def test_what_may_be_skipped_is_named():
    checks = [
        {"id": "own", "name": "one", "status": "SUCCESS", "description": ""},
        {"id": "own", "name": "two", "status": "SKIPPED", "description": "skipped"},
        {"id": "own", "name": "two", "status": "WARNING", "description": "warned"},
    ]
    trial = Trial(checks, 0, "")
    assert trial.complaints() == ["SKIPPED own: skipped", "WARNING own: warned"]
    assert trial.complaints(["two"]) == ["WARNING own: warned"]


@pytest.mark.parametrize("revision", AUTHORIZATION)
def test_no_scenario_is_left_out(node, revision):
    ours = {*SCENARIOS.get(revision, ()), *AUTHORIZATION[revision]}
    assert ours == listed(node, "client", revision)
    assert all(each.startswith("auth/") for each in AUTHORIZATION[revision])


def test_no_scenario_without_a_revision_is_left_out(node):
    dated = {each for lists in (SCENARIOS, AUTHORIZATION) for names in lists.values() for each in names}
    assert dated | set(EXTENSIONS) == listed(node, "client")
    assert not dated & set(EXTENSIONS)


@pytest.mark.parametrize("revision", REQUIRED)
def test_all_that_is_required_is_there(revision):
    ours = {*SCENARIOS[revision], *AUTHORIZATION[revision]}
    assert set(required("client", revision)) <= ours
    assert len(required("client", revision)) == REQUIRED[revision]
