"""Fails a test that leaves a file descriptor or a child process behind. tests/conftest.py takes it in.

Compared are the descriptors (number and what it points at) and the children before the fixtures of the test are set up
and after they are torn down; what a fixture of wider scope opens first belongs to that fixture. A test that has failed
already is not looked at: its traceback keeps objects alive. Tasks are watched in tests/asynchronous.py. Windows has no
such listing, so there nothing is compared.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator

import pytest

DESCRIPTORS = next((each for each in (pathlib.Path("/proc/self/fd"), pathlib.Path("/dev/fd")) if each.is_dir()), None)

FAILED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare descriptors and children around everything else this test sets up."""
    descriptors_before, children_before = open_descriptors(), child_processes()
    yield
    if request.node.stash.get(FAILED, False):
        return
    complain_about(descriptors_left(descriptors_before), children_left(children_before))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Remember that the body of a test failed."""
    try:
        return (yield)
    except BaseException:
        item.stash[FAILED] = True
        raise


def open_descriptors() -> dict[int, str]:
    """Each open descriptor with what it points at: a path, `pipe:[1234]`, or on macOS its device and inode."""
    if DESCRIPTORS is None:
        return {}
    found = dict[int, str]()
    for each in os.listdir(DESCRIPTORS):
        # The listing has a descriptor of its own, closed by now.
        with contextlib.suppress(OSError):
            found[int(each)] = target_of(int(each))
    return found


def target_of(descriptor: int) -> str:
    """What a descriptor points at, in words that stay the same while it is open."""
    if sys.platform == "linux":
        return os.readlink(f"/proc/self/fd/{descriptor}")
    status = os.fstat(descriptor)
    return f"device {status.st_dev}, inode {status.st_ino}, mode {status.st_mode:o}"


def child_processes() -> set[int]:
    """The ids of our children, those that have ended and were not waited for among them."""
    if not hasattr(os, "waitid"):
        return set()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    if sys.platform == "linux":
        lists = pathlib.Path("/proc/self/task").glob("*/children")
        return {int(each) for children in lists for each in children.read_text().split()}
    listing = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False)
    return {int(each) for each in listing.stdout.split()}


def descriptors_left(before: dict[int, str]) -> dict[int, str]:
    """What is open now and was not before."""
    left = difference(before)
    if left:
        # What only a reference cycle keeps open warns here, inside the test that made it, as an unclosed resource.
        gc.collect()
        # A transport served by threads is closed when it says so; its threads close their descriptors as they end.
        for thread in threading.enumerate():
            if thread.name.startswith("tybalt-"):
                thread.join(5.0)
        left = difference(before)
    return left


def difference(before: dict[int, str]) -> dict[int, str]:
    """The descriptors that are new, or point at something new."""
    return {number: target for number, target in open_descriptors().items() if before.get(number) != target}


def children_left(before: set[int]) -> set[int]:
    """The children that are new. They are ended here, so that the next test starts clean."""
    left = child_processes() - before
    for each in left:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(each, signal.SIGKILL)
            os.waitpid(each, 0)
    return left


def complain_about(descriptors: dict[int, str], children: set[int]) -> None:
    """Fail the test by name of what it left."""
    told: list[str] = []
    if descriptors:
        told.append("open descriptors: " + ", ".join(f"{number} -> {target}" for number, target in descriptors.items()))
    if children:
        told.append(f"child processes, running or not waited for: {sorted(children)}")
    if told:
        pytest.fail("the test left " + "; ".join(told), pytrace=False)
