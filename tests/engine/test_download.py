"""A download is whole, or said not to be."""

from __future__ import annotations

import asyncio

import pytest

from evalkit.engine.batches import download
from evalkit.engine.batches.download import Incomplete, complete


class Api:
    """Rows without end, or a few."""

    def __init__(self, rows):
        self.rows = rows

    async def results(self, _):
        for number in range(self.rows):
            yield f"{number:032x}", b"{}"


def read(rows, done):
    async def run():
        return [key async for key, _ in complete(Api(rows), "b", done)]

    return asyncio.run(run())


def test_as_many_rows_as_the_provider_counts():
    assert len(read(3, 3)) == 3
    with pytest.raises(Incomplete, match="brought only 3"):
        read(3, 4)


def test_rows_without_end_are_not_read_to_their_end(monkeypatch):
    monkeypatch.setattr(download, "MOST_ROWS", 50)
    assert len(read(50, 3)) == 50
    with pytest.raises(Incomplete, match="more than 50 rows"):
        read(10**9, 3)
