"""`tybalt inspect`: what a server says of itself."""

import json

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import SHOP, Printed

SAID = """\
name          shop
version       1.0
revision      {revision}
era           {era}
capabilities  prompts (listChanged), resources (listChanged, subscribe), tools (listChanged), logging
tools         4
resources     2
templates     0
prompts       1

Buy \\u001b[31mthings.
"""


@pytest.mark.parametrize(
    ("era", "revision"), [("modern", "2026-07-28"), ("legacy", "2025-11-25"), ("2024-11-05", "2024-11-05")]
)
def test_it_is_told_to_a_person(era: str, revision: str, printed: Printed) -> None:
    said = SAID.format(revision=revision, era="modern" if era == "modern" else "legacy")
    assert printed("inspect", SHOP, "--era", era) == (0, said, "")


def test_json_has_everything(printed: Printed) -> None:
    status, out, err = printed("inspect", SHOP, "--json")
    about = json.loads(out)
    assert (status, err) == (0, "")
    assert about["server"] == {"name": "shop", "version": "1.0"}
    assert (about["revision"], about["era"]) == ("2026-07-28", "modern")
    assert about["instructions"] == "Buy \x1b[31mthings." and "tools" in about["capabilities"]
    counts = [len(about[kind]) for kind in ("tools", "resources", "resourceTemplates", "prompts")]
    assert counts == [4, 2, 0, 1] and about["tools"][0]["inputSchema"]["type"] == "object"


def test_what_is_not_said_is_left_out(write: Write, printed: Printed) -> None:
    status, out, _ = printed("inspect", str(write("bare.py", "server = Server('x\\x1b')")))
    assert status == 0 and out.startswith("name          x\\x1b\n") and out.endswith("\nprompts       0\n")
