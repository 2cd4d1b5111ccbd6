"""What a child process inherits: never more than is named here, unless somebody asks for it."""

from __future__ import annotations

import os
import sys

import pytest

from tybalt.transports.environment import default_environment, environment_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other names are inherited there")


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in {"HOME": "/h", "LC_TIME": "C", "SHELL": "() { :; }", "TOKEN": "t", "PYTHONPATH": "p"}.items():
        monkeypatch.setenv(name, value)


def test_credentials_functions_and_what_is_pythons_stay_here() -> None:
    assert default_environment() == {"HOME": "/h", "LC_TIME": "C"}


def test_what_is_named_is_inherited_where_it_is_set() -> None:
    assert environment_of({}, ["TOKEN", "GONE"]) == {"HOME": "/h", "LC_TIME": "C", "TOKEN": "t"}


def test_all_is_all() -> None:
    assert environment_of({}, "all") == dict(os.environ)


@pytest.mark.parametrize("inherit", [(), ("TOKEN",), "all"])
def test_what_is_given_stands_over_what_is_inherited(inherit: str | tuple[str, ...]) -> None:
    assert environment_of({"TOKEN": "mine", "HOME": ""}, inherit).items() >= {"TOKEN": "mine", "HOME": ""}.items()
