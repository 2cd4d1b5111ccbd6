"""Every example of README.md and docs/ runs. How a block is marked: tests/documentation.py."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

from tests.documentation import run_page

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.fixture(autouse=True)
def _python_is_the_one_that_has_tybalt(monkeypatch):
    """A reader types `python` and `tybalt` with the environment activated in which it is installed."""
    monkeypatch.setenv("PATH", str(pathlib.Path(sys.executable).parent) + os.pathsep + os.environ["PATH"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page, tmp_path):
    run_page(page, tmp_path)


def test_the_readme_has_examples(tmp_path):
    assert run_page(ROOT / "README.md", tmp_path) >= 2, "a server and a client, each of which a reader would copy"
