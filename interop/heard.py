"""`Heard`: the notifications of a server, and a way to wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any


class Heard:
    """The notifications of a server, and a way to wait for one of a kind."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Mapping[str, Any]]] = []
        self._more = asyncio.Event()

    def __call__(self, method: str, params: Mapping[str, Any]) -> None:
        self.all.append((method, params))
        self._more.set()

    async def wait_for(self, method: str) -> Mapping[str, Any]:
        """The params of the first one of this method."""
        async with asyncio.timeout(20):
            while not (found := [params for name, params in self.all if name == method]):
                self._more.clear()
                await self._more.wait()
        return found[0]
