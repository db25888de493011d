"""``items.jsonl`` beside the results of one benchmark: the questions they are about, from runs and imports alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item
from evalkit.storage.index import BadLine, Index
from evalkit.storage.store import Log, NotStored

NAME = "items.jsonl"


class ItemIndex(Index):
    """The items themselves, which are few, in place of where they are."""

    def __init__(self) -> None:
        super().__init__(None)
        self.known: dict[str, Item] = {}
        """The stored items by id."""
        self._item = msgspec.json.Decoder(Item)

    def enter(self, lines: Iterable[bytes]) -> int:
        """Take in the lines that follow, until one is incomplete. Returns the length of that one, or 0.

        Raises:
            BadLine: a line is no item; those before it are entered.
        """
        for line in lines:
            if not line.endswith(b"\n"):
                return len(line)
            if line.strip():
                try:
                    item = self._item.decode(line)
                except (ValueError, RecursionError) as error:  # of msgspec, bad UTF-8, or nested without end
                    raise BadLine(str(error)) from error
                self.known[item.id] = item
            self.live.append(1)
            self.end += len(line)
        return 0


class Items(Log[Item]):
    """The questions in a results folder. Append-only; the latest line of an id counts.

    Args:
        folder: the results folder of one benchmark; the file need not exist.

    Raises:
        UsageError: the file cannot be read, or a line is no item.
    """

    _index: ItemIndex

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"cannot read {str(folder / NAME)!r}: {folder.name!r} is no folder")
        super().__init__(folder / NAME, Item)

    def _lines(self, schema: object) -> ItemIndex:
        return ItemIndex()

    def _report_torn(self, length: int) -> None:
        """Nothing is lost: whoever needs the question keeps it again."""

    @property
    def known(self) -> dict[str, Item]:
        """The stored items by id."""
        return self._index.known

    def keep(self, items: Iterable[Item]) -> int:
        """Append those that are not there as they are; how many that was. Other processes may do the same.

        Raises:
            UsageError: the file cannot be written.
        """
        wanted = [item for item in items if self._new(item)]
        if not wanted:
            return 0
        if self.path.is_symlink():
            raise UsageError(f"{str(self.path)!r} is a link to another place; replace it by a file")
        try:
            return self.extend(wanted, self._new)
        except NotStored as error:
            raise UsageError(str(error)) from error
        finally:
            self.close()

    def _new(self, item: Item) -> bool:
        return self.known.get(item.id) != item
