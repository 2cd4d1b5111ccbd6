"""Our `Client` and two servers that people install from npm: `server-filesystem` and `server-memory`.

Each is launched over stdio, asked for its era, and really used. What our client said is judged by the published
schemas. `test_npm_everything.py` is the third.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pathlib
import struct

import pytest

from interop.heard import Heard
from interop.npm import REVISION
from tybalt.types.content import AudioContent, EmbeddedResource, ImageContent

GRAPH = "memory://knowledge-graph"
ADA = {"name": "Ada", "entityType": "person", "observations": ["wrote notes"]}
ENGINE = {"name": "Engine", "entityType": "machine", "observations": []}
KNOWS = {"from": "Ada", "to": "Engine", "relationType": "describes"}


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    return tmp_path / "allowed"


async def test_filesystem_writes_reads_edits_moves_and_lists(npm, directory):
    note, moved = directory / "note.txt", directory / "sub" / "moved.txt"
    async with npm.connect("filesystem", directory) as client:
        assert (client.revision, client.server_info.name) == (REVISION, "secure-filesystem-server")
        assert await client.list_resources() == await client.list_prompts() == []
        text = "one\ntwo\nGrüße 😀\n" * 1000
        await client.call("write_file", path=str(note), content=text)
        assert note.read_text("utf-8") == text
        assert await client.call("read_text_file", path=str(note)) == {"content": text}
        assert await client.call("read_text_file", path=str(note), head=2) == {"content": "one\ntwo"}
        await client.call("write_file", path=str(note), content="one\n")
        edited = await client.call("edit_file", path=str(note), edits=[{"oldText": "one", "newText": "two"}])
        assert "+two" in edited["content"]
        await client.call("create_directory", path=str(directory / "sub"))
        await client.call("move_file", source=str(note), destination=str(moved))
        assert moved.read_text() == "two\n"
        assert await client.call("list_directory", path=str(directory)) == {"content": "[DIR] sub"}
        assert await client.call("search_files", path=str(directory), pattern="**/*.txt") == {"content": str(moved)}
        tree = json.loads((await client.call("directory_tree", path=str(directory)))["content"])
        assert tree == [{"name": "sub", "type": "directory", "children": [{"name": "moved.txt", "type": "file"}]}]
    assert (npm.recorded.recording.status, npm.recorded.recording.terminated) == (0, False)


async def test_filesystem_returns_sound_images_and_bytes(npm, directory):
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36, b"WAVEfmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 0)
    kinds = {"sound.wav": AudioContent, "image.png": ImageContent}
    async with npm.connect("filesystem", directory) as client:
        for name, kind in kinds.items():
            (directory / name).write_bytes(header)
            (block,) = (await client.call_tool("read_media_file", {"path": str(directory / name)})).content
            assert (type(block), base64.b64decode(block.data)) == (kind, header)
        (directory / "bytes.bin").write_bytes(header)
        (block,) = (await client.call_tool("read_media_file", {"path": str(directory / "bytes.bin")})).content
        assert (type(block), base64.b64decode(block.resource.blob)) == (EmbeddedResource, header)


async def test_filesystem_refuses_what_is_outside(npm, directory):
    (directory / "way_out.txt").symlink_to(directory.parent / "outside.txt")
    async with npm.connect("filesystem", directory) as client:
        for path in ("../outside.txt", "way_out.txt", "../allowed_not/a.txt"):
            refused = await client.call_tool("read_text_file", {"path": f"{directory}/{path}"})
            assert refused.is_error
            assert "Access denied" in refused.content[0].text
        written = await client.call_tool("write_file", {"path": f"{directory}/../outside.txt", "content": ""})
        assert written.is_error
        missing = await client.call_tool("read_text_file", {"path": f"{directory}/none.txt"})
        assert "ENOENT" in missing.content[0].text
    assert (directory.parent / "outside.txt").read_text() == "secret"


async def test_filesystem_takes_its_directories_from_our_roots(npm, directory):
    asked = asyncio.Event()

    def roots() -> list[pathlib.Path]:
        asked.set()
        return [directory]

    async with npm.connect("filesystem", directory.parent, roots=roots) as client:
        # It asks when it has been told that we are ready, and serves meanwhile what its command names.
        await asked.wait()
        async with asyncio.timeout(20):
            while await client.call("list_allowed_directories") != {"content": f"Allowed directories:\n{directory}"}:
                pass
        refused = await client.call_tool("read_text_file", {"path": str(directory.parent / "outside.txt")})
        assert refused.is_error


async def test_memory_keeps_what_it_was_told(npm, tmp_path):
    file = tmp_path / "memory.jsonl"
    async with npm.connect("memory", env={"MEMORY_FILE_PATH": str(file)}) as client:
        assert (client.revision, client.server_info.name) == (REVISION, "memory-server")
        assert await client.call("create_entities", entities=[ADA, ENGINE]) == {"entities": [ADA, ENGINE]}
        assert await client.call("create_relations", relations=[KNOWS]) == {"relations": [KNOWS]}
        told = [{"entityName": "Engine", "contents": ["has mills"]}]
        added = await client.call("add_observations", observations=told)
        assert added["results"] == [{"entityName": "Engine", "addedObservations": ["has mills"]}]
        unknown = await client.call_tool("add_observations", {"observations": [told[0] | {"entityName": "Nobody"}]})
        assert unknown.is_error
    assert (npm.recorded.recording.status, npm.recorded.recording.terminated) == (0, False)
    assert len(file.read_text().splitlines()) == 3

    async with npm.connect("memory", env={"MEMORY_FILE_PATH": str(file)}) as client:
        graph = {"entities": [ADA, ENGINE | {"observations": ["has mills"]}], "relations": [KNOWS]}
        assert await client.call("read_graph") == graph
        assert (await client.call("search_nodes", query="mills"))["entities"] == graph["entities"][1:]
        assert (await client.call("open_nodes", names=["Ada"]))["entities"] == [ADA]
        (resource,) = await client.list_resources()
        (content,) = await client.read_resource(resource.uri)
        assert (content.uri, json.loads(content.text)) == (GRAPH, graph)
        await client.call("delete_entities", entityNames=["Engine"])
        assert await client.call("read_graph") == {"entities": [ADA], "relations": []}


async def test_memory_tells_of_updates_to_those_who_subscribed(npm, tmp_path):
    heard = Heard()
    variables = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    async with npm.connect("memory", env=variables, on_notification=heard) as client:
        await client.call("create_entities", entities=[ADA])
        assert heard.all == []
        await client.request("resources/subscribe", {"uri": GRAPH})
        await client.call("create_entities", entities=[ENGINE])
        assert await heard.wait_for("notifications/resources/updated") == {"uri": GRAPH}
        await client.request("resources/unsubscribe", {"uri": GRAPH})
        await client.call("delete_entities", entityNames=["Engine"])
    assert [method for method, _ in heard.all] == ["notifications/resources/updated"]
