"""Answers in another language than the questions': how many there are among those judged, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from evalkit.biases.hygiene import judged_texts
from evalkit.evidence.evidence import Evidence, percent
from evalkit.evidence.findings import Finding
from evalkit.evidence.metrics import HYGIENE, Metric, share
from evalkit.ratings.answer_languages import INSTALL, LANGUAGES, detector, language_of

OTHER_LANGUAGE = Metric(
    name="hygiene_other_language",
    label="In another language",
    unit=share("answers whose language can be told"),
    topic=HYGIENE,
    question="How many answers are in another language than the benchmark asks for?",
    needs="the texts of answers to a benchmark that asks for a language, and evalkit[languages]",
    source="py3langid 0.4 (docs/languages.md)",
    names_models=True,
)


@dataclass(frozen=True)
class Language:
    """In which language answers are; says nothing of benchmarks that ask for none."""

    metrics: ClassVar[tuple[Metric, ...]] = (OTHER_LANGUAGE,)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the share of judged answers in another language."""
        import numpy as np

        from evalkit.stats.shares import clustered_share

        wanted = language_of(evidence.benchmark)
        if wanted is None:
            return
        detect, texts = detector(), judged_texts(evidence)
        if detect is None or not texts:
            needs = "the texts of the answers" if detect else f"a detector of languages: {INSTALL}"
            yield evidence.lacking(OTHER_LANGUAGE, f"needs {needs}")
            return
        other: list[bool] = []
        about: list[int] = []
        whose: Counter[str] = Counter()
        for model, answers in texts.items():
            for question, text in answers:
                found = detect(text)
                if found is not None:
                    other.append(found != wanted)
                    about.append(question)
                    whose[model] += found != wanted
        if not other:
            yield evidence.lacking(OTHER_LANGUAGE, "needs answers that are long enough to tell their language")
            return
        interval = clustered_share(np.array(other, dtype=np.float64), np.array(about))
        models = {name: count for name, count in whose.most_common() if count}
        most = "; ".join(f"{name}: {count:,}" for name, count in list(models.items())[:3])
        yield evidence.finding(
            OTHER_LANGUAGE,
            interval,
            f"{sum(other):,} of {len(other):,} answers whose language can be told ({percent(interval)}) are not in "
            f"{LANGUAGES.get(wanted, wanted)}{f' ({most})' if most else ''}.",
            models=models,
        )
