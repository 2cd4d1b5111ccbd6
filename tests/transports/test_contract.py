"""Every transport keeps the contract of `tybalt.transports.transport`, on every loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transports.pairs import PAIRS
from tybalt.testing.transports import check_transport


@pytest.mark.loops
@pytest.mark.time_limit(60)
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", PAIRS)
async def test_the_transport_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    async with PAIRS[kind](tmp_path) as make:
        await check_transport(make, limit=5)
