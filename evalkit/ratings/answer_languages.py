"""Whether answers are in the language that a benchmark asks for, by a detector that is an extra (py3langid, 4.6 MB)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from evalkit.core.schema import Response
from evalkit.core.text import plain
from evalkit.datasets import benchmark

LANGUAGES: Final = {
    **{"de": "German", "en": "English", "fr": "French", "id": "Indonesian", "ja": "Japanese", "ko": "Korean"},
    **{"pl": "Polish", "ru": "Russian", "vi": "Vietnamese", "zh": "Chinese"},
}
"""Names of the languages that benchmarks of ours ask for, by ISO 639-1 code."""
OTHERS: Final = ("ar", "cs", "es", "fa", "hi", "it", "nl", "pt", "sv", "th", "tr", "uk")
"""Further languages that the detector may name; the fewer there are, the fewer short texts it mistakes."""
LETTERS, SIGNS = 60, 20
"""Letters, and Chinese, Japanese or Korean characters, below which a text is too short to be told."""
SURE: Final = 0.95
"""Probability from which a language is told."""
INSTALL: Final = "pip install 'evalkit[languages]'"

Detector = Callable[[str], str | None]


@functools.cache
def detector() -> Detector | None:
    """Names the language of a text, or none where it cannot be told; None where the detector is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*LANGUAGES, *OTHERS])

    def detect(text: str) -> str | None:
        words = prose(text)
        if words is None:
            return None
        language, probability = identifier.classify(words)
        return str(language) if probability >= SURE else None

    return detect


def prose(text: str) -> str | None:
    """A text without its fenced code; None where too little is left to tell a language by."""
    kept = " ".join(text.split("```")[::2])
    signs = sum(char.isalpha() and char > "\u2e7f" for char in kept)
    letters = sum(map(str.isalpha, kept)) - signs
    return kept if letters >= LETTERS or signs >= SIGNS else None


def language_of(name: str) -> str | None:
    """The language that answers to a benchmark should be in; None where it asks for none."""
    known = benchmark.names()
    for part in (name, name.rpartition("-")[2]):  # arena-mtbench_ja: a tournament over its questions
        if part in known:
            return benchmark.spec(part).language
    return None


@dataclass
class LanguageCounts:
    """In which languages one model's answers to one benchmark are."""

    wanted: str
    told: Counter[str] = field(default_factory=Counter)
    untold: int = 0
    unchecked: int = 0
    """Answers that nothing could look at, as the detector is not installed."""

    def add(self, row: Response) -> None:
        """Count the turns of one more answer."""
        detect = detector()
        for text in row.turns:
            if detect is None:
                self.unchecked += 1
                continue
            found = detect(text)
            if found is None:
                self.untold += 1
            else:
                self.told[found] += 1

    def note(self, name: str) -> str | None:
        """What a reader must know: how many answers are in another language, or that nobody looked."""
        wanted = LANGUAGES.get(self.wanted, self.wanted)
        if self.unchecked:
            return f"{plain(name)}: whether answers are in {wanted} was not checked; {INSTALL}"
        if not (other := self.told.total() - self.told[self.wanted]):
            return None
        most = Counter({LANGUAGES.get(code, code): n for code, n in self.told.items() if code != self.wanted})
        said = ", ".join(f"{count} {language}" for language, count in most.most_common(3))
        return (
            f"{plain(name)}: {other} of {self.told.total()} answers whose language can be told are not in {wanted} "
            f"({said}); a judge may not mind"
        )
