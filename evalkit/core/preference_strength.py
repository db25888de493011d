"""By how much one answer is better, as the label of a vote says it: four steps, whatever the words."""

from __future__ import annotations

import functools
import re
from typing import Final

STEPS: Final = ("barely better", "slightly better", "better", "much better")
"""What the steps 1 to 4 are called."""
_WORDS: Final = {
    **dict.fromkeys(("barely", "negligibly", "marginally"), 1),
    "slightly": 2,
    **dict.fromkeys(("", "better"), 3),
    **dict.fromkeys(("much", "significantly", "clearly", "strongly", "far"), 4),
}
_SAID: Final = re.compile(r"(?:[ab](?::| is ))?(?P<word>[a-z]*)(?: ?better)?")
_SIGNS: Final = {**dict.fromkeys(("a>b", "b>a", "a<b", "b<a"), 3), **dict.fromkeys(("a>>b", "b>>a", "a<<b", "b<<a"), 4)}
_EIGHT: Final = {str(step): 5 - step if step < 5 else step - 4 for step in range(1, 9)}
"""Of votes from 1 (the first is much better) to 8 (the second is)."""


@functools.lru_cache(maxsize=4096)
def strength_of(label: str, *, eight: bool = False) -> int:
    """The step of a label, 1 to 4; 0 where it says none, as of a tie or of a plain winner.

    Args:
        label: as ``A:slightly``, ``a-is-slightly-better``, ``much better`` or ``A>>B``.
        eight: the vote was one from 1 to 8, and such numbers are no names of the two answers.
    """
    text = label[:40].strip().lower().replace("-", " ").replace("_", " ")
    if eight or text in _SIGNS:
        return _EIGHT.get(text, 0) if eight else _SIGNS[text]
    found = _SAID.fullmatch(text)
    if found is None or ("better" not in text and ":" not in text):
        return 0
    return _WORDS.get(found["word"], 0)
