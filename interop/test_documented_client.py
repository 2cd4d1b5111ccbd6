"""The program in docs/http/README.md that asks its server with the official Python SDK: it works, as it stands."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from tests.documentation import blocks_of

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "http" / "README.md"
PATIENCE = 20


def test_the_client_of_the_page_asks_the_server_of_the_page(tmp_path: pathlib.Path) -> None:
    blocks = [each for each in blocks_of(PAGE) if each.language == "python"]
    (server,) = (each for each in blocks if str(each.file) == "server.py")
    (client,) = (each for each in blocks if "from mcp import Client" in each.text)
    (tmp_path / "server.py").write_text(server.text, encoding="utf-8")
    command = [sys.executable, "-m", "tybalt", "run", "server.py", "--http", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr is not None
            found = re.search(r"127\.0\.0\.1:\d+", serving.stderr.readline())
            assert found is not None
            asking = client.text.replace("127.0.0.1:8000", found[0])
            asked = subprocess.run(
                [sys.executable, "-c", asking], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        finally:
            serving.terminate()
    assert (asked.stdout, asked.returncode) == ("['add', 'count', 'reset']\n8\n", 0), asked.stderr
