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
def strength_of(label: str) -> int:
    """The step of a label, 1 to 4; 0 where it says none, as of a tie or of a plain winner.

    Args:
        label: as ``A:slightly``, ``a-is-slightly-better``, ``much better``, ``A>>B``, or a vote from 1 to 8.
    """
    text = label[:40].strip().lower().replace("-", " ").replace("_", " ")
    known = _SIGNS.get(text) or _EIGHT.get(text)
    if known:
        return known
    found = _SAID.fullmatch(text)
    if found is None or ("better" not in text and ":" not in text):
        return 0
    return _WORDS.get(found["word"], 0)
