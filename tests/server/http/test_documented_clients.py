"""The command in docs/http/README.md that a reader copies to ask the server of that page: it works, as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation import Block, blocks_of
from tests.server.http.test_process import ROOT, program

PAGE = ROOT / "docs" / "http" / "README.md"


def blocks(language: str) -> list[Block]:
    return [each for each in blocks_of(PAGE) if each.language == language]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh there")
def test_curl_calls_a_tool(tmp_path: Path) -> None:
    (command,), (expected,) = blocks("sh"), blocks("json")
    (server,) = (each for each in blocks("python") if str(each.file) == "server.py")
    file = tmp_path / "server.py"
    file.write_text(server.text, encoding="utf-8")
    with program("-m", "tybalt", "run", str(file), "--http", "--port", "0") as served:
        here, places = re.subn(r"127\.0\.0\.1:8000", f"127.0.0.1:{served.port}", command.text)
        asked = subprocess.run(["sh", "-c", here], capture_output=True, text=True, timeout=20, check=True)
    assert places == 1
    assert asked.stdout.strip() == expected.text.strip()
