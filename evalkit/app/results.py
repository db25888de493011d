"""Results as they are now: the index, the cases, the texts, caught up while a run goes on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.app.cases import Cases, cases_of
from evalkit.app.filters import Chooser
from evalkit.app.judgment_index import JudgeKey, JudgmentIndex, ModelKey
from evalkit.app.texts import Texts

AT_ONCE = 1.5
"""Seconds of reading before a page is shown with what is there."""
LOOK = 1.0
"""Seconds between two looks at the files."""


@dataclass
class OpenResults:
    """Some results paths, open.

    Args:
        paths: results folders or judgments files.
        cache: folder of the index; None keeps it in memory.
    """

    paths: tuple[Path, ...]
    cache: Path | None = None
    index: JudgmentIndex = field(init=False)
    texts: Texts = field(init=False)
    chooser: Chooser = field(init=False)
    _version: int = -1
    _looked: float = 0.0
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read what can be read at once."""
        self.index = JudgmentIndex(self.paths, self.cache)
        self.texts = Texts(self.paths)
        self.look()

    def look(self, *, whole: bool = False) -> None:
        """Take in what was written since, unless that was done a moment ago or is being done.

        Args:
            whole: read everything, however long it takes.
        """
        if not self._busy.acquire(blocking=whole or self._version < 0):
            return
        try:
            if whole or not self.index.complete or time.monotonic() - self._looked > LOOK:
                self.index.refresh(float("inf") if whole else AT_ONCE)
                if self._version != self.index.version or self._version < 0:
                    self.texts.refresh()
                    self.chooser = Chooser(cases_of(self.index), self.texts)
                    self._version = self.index.version
                self._looked = time.monotonic()
        finally:
            self._busy.release()

    @property
    def cases(self) -> Cases:
        """Cases that were stored when the files were last read."""
        return self.chooser.cases

    def judge_label(self, judge: JudgeKey) -> str:
        """Who judged, told apart from others of the same name."""
        names = self.cases.names
        alike = {one.fingerprint for one in names.judges if (one.name, one.protocol) == (judge.name, judge.protocol)}
        label = f"{judge.name}@{judge.fingerprint[:8]}" if len(alike) > 1 else judge.name
        label += f" ({judge.protocol})"
        return f"{label}, run {judge.root + 1}" if len(names.roots) > 1 else label

    def model_label(self, model: ModelKey) -> str:
        """Who answered, likewise."""
        alike = {one.fingerprint for one in self.cases.names.models if one.name == model.name}
        return f"{model.name}@{model.fingerprint[:8]}" if len(alike) > 1 else model.name
