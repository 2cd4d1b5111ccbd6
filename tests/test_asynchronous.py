"""The plugin that runs the other tests, watched while it runs tests that should fail."""

from __future__ import annotations

import textwrap

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import sys
sys.path.insert(0, {root!r})
from tests.asynchronous import loop_name, pytest_generate_tests, pytest_pyfunc_call, run
from tests.leaks import nothing_left_behind, pytest_runtest_call
"""

INI = """
[pytest]
filterwarnings = error
markers =
    loops
    time_limit(seconds)
"""


@pytest.fixture
def outcomes(pytester: pytest.Pytester, pytestconfig: pytest.Config):
    """Run a file of tests in a pytest of its own; its result lines by test, and everything it printed."""

    def run_tests(source: str) -> tuple[dict[str, str], str]:
        pytester.makeconftest(CONFTEST.format(root=str(pytestconfig.rootpath)))
        pytester.makeini(INI)
        pytester.makepyfile(textwrap.dedent(source))
        # Without xdist, which would hand the inner tests on to other processes.
        run = pytester.runpytest_subprocess("-v", "--tb=short", "-p", "no:xdist", "-p", "no:cacheprovider")
        lines = [line.split("::", 1)[1].split() for line in run.outlines if "::" in line and "%]" in line]
        found: dict[str, str] = {}
        for line in lines:
            name, outcome = line[0], line[1]
            found[name] = outcome if name not in found else f"{found[name]}, {outcome}"
        return found, run.stdout.str()

    return run_tests


def test_asynchronous_tests_run_and_can_fail(outcomes):
    results, output = outcomes("""
        import asyncio, pytest
        from hypothesis import given, settings, strategies as st

        @pytest.fixture
        def answer(run):
            async def compute():
                await asyncio.sleep(0)
                return 42
            return run(compute())

        async def test_passes(answer):
            await asyncio.sleep(0)
            assert answer == 42

        async def test_fails():
            await asyncio.sleep(0)
            assert 1 == 2

        class TestMethods:
            async def test_method(self):
                await asyncio.sleep(0)

        @pytest.mark.parametrize("number", [1, 2])
        async def test_parameters(number):
            assert number == 1

        examples = []

        @settings(database=None, derandomize=True)
        @given(st.integers())
        async def test_property(number):
            await asyncio.sleep(0)
            examples.append(number)

        @settings(database=None, derandomize=True)
        @given(st.integers())
        async def test_false_property(number):
            await asyncio.sleep(0)
            assert number < 100

        def test_property_ran():
            assert len(examples) > 10

        def test_synchronous():
            pass
    """)
    assert results == {
        "test_passes": "PASSED",
        "test_fails": "FAILED",
        "TestMethods::test_method": "PASSED",
        "test_parameters[1]": "PASSED",
        "test_parameters[2]": "FAILED",
        "test_property": "PASSED",
        "test_false_property": "FAILED",
        "test_property_ran": "PASSED",
        "test_synchronous": "PASSED",
    }
    assert "number=100" in output, "the smallest counter-example is shown"


def test_what_is_left_on_the_loop_fails_the_test(outcomes):
    results, output = outcomes("""
        import asyncio, pytest

        async def forever():
            await asyncio.get_running_loop().create_future()

        async def fail():
            raise RuntimeError("nobody awaits this")

        async def test_task_left():
            asyncio.create_task(forever(), name="left")

        async def test_task_cancelled_but_not_awaited():
            asyncio.create_task(forever()).cancel()

        async def test_exception_unawaited():
            task = asyncio.create_task(fail())
            await asyncio.sleep(0)
            del task
            await asyncio.sleep(0)

        @pytest.mark.time_limit(0.05)
        async def test_too_long():
            await forever()

        async def test_own_timeout():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await forever()

        def test_run_fixture(run):
            async def leave():
                asyncio.create_task(forever(), name="left by run")
            run(leave())
    """)
    assert results == {
        "test_task_left": "FAILED",
        "test_task_cancelled_but_not_awaited": "PASSED",
        "test_exception_unawaited": "FAILED",
        "test_too_long": "FAILED",
        "test_own_timeout": "PASSED",
        "test_run_fixture": "FAILED",
    }
    for told in ("name='left'", "name='left by run'", "nobody awaits this", "still running after 0.05 s"):
        assert told in output


def test_each_loop_runs_the_test_once(outcomes):
    pytest.importorskip("uvloop", reason="uvloop is an extra, and not there on Windows")
    results, _ = outcomes("""
        import asyncio, pytest

        @pytest.mark.loops
        async def test_loop(loop_name):
            assert type(asyncio.get_running_loop()).__module__.split(".")[0] == loop_name
    """)
    assert results == {"test_loop[asyncio]": "PASSED", "test_loop[uvloop]": "PASSED"}


def test_descriptors_and_children_left_fail_the_test(outcomes):
    results, output = outcomes("""
        import os, socket, subprocess, sys, pytest

        kept = []

        def test_descriptor_left():
            kept.append(os.open(os.devnull, os.O_RDONLY))

        def test_same_number_other_file():
            other = os.open(__file__, os.O_RDONLY)
            os.dup2(other, kept[0])
            os.close(other)

        def test_socket_in_a_cycle():
            pair = list(socket.socketpair())
            pair.append(pair)

        def test_child_left():
            kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

        @pytest.fixture(scope="module")
        def opened_for_all():
            descriptor = os.open(os.devnull, os.O_RDONLY)
            yield descriptor
            os.close(descriptor)

        def test_wider_fixture(opened_for_all):
            os.fstat(opened_for_all)

        @pytest.fixture
        def opened_for_one():
            descriptor = os.open(os.devnull, os.O_RDONLY)
            yield descriptor
            os.close(descriptor)

        def test_own_fixture(opened_for_one):
            os.fstat(opened_for_one)

        def test_after_it_all():
            subprocess.run([sys.executable, "-c", ""], check=True)

        def test_failed_anyway():
            kept.append(os.open(os.devnull, os.O_RDONLY))
            assert False
    """)
    assert results == {
        "test_descriptor_left": "PASSED, ERROR",
        "test_same_number_other_file": "PASSED, ERROR",
        "test_socket_in_a_cycle": "PASSED, ERROR",
        "test_child_left": "PASSED, ERROR",
        "test_wider_fixture": "PASSED",
        "test_own_fixture": "PASSED",
        "test_after_it_all": "PASSED",
        "test_failed_anyway": "FAILED",
    }
    assert "the test left open descriptors: " in output
    assert "child processes, running or not waited for: [" in output
