"""Judged answers in another language than asked are counted, by model; others are passed over."""

from __future__ import annotations

import dataclasses

import pytest

from evalkit.biases import language
from evalkit.biases.language import Language
from tests.biases.simulated import scored
from tests.biases.test_contract import evidence
from tests.ratings.test_answer_languages import TEXTS


def found(benchmark, texts):
    given = evidence([scored("a", 5.0, item=f"q{n}", benchmark=benchmark) for n in range(len(texts))])
    given = dataclasses.replace(given, texts={f"q{n}a": (text,) for n, text in enumerate(texts)})
    return list(Language().findings(given))


@pytest.mark.skipif(language.detector() is None, reason="py3langid is not installed")
def test_answers_in_another_language_are_counted():
    (row,) = found("mtbench_ko", [TEXTS["ko"]] * 6 + [TEXTS["en"]] * 2 + ["42"])
    assert row.metric == "hygiene_other_language"
    assert (row.estimate, row.n) == (0.25, 8)
    assert "2 of 8 answers whose language can be told (25" in row.sentence
    assert row.sentence.endswith("are not in Korean (a: 2).")
    (row,) = found("mtbench_ko", ["42"] * 3)
    assert row.not_measurable == "needs answers that are long enough to tell their language"


def test_nothing_is_said_where_no_language_is_asked_for():
    assert found("mtbench", [TEXTS["ko"]] * 3) == []


def test_without_a_detector_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(language, "detector", lambda: None)
    (row,) = found("mtbench_ko", [TEXTS["ko"]] * 3)
    assert row.not_measurable == "needs a detector of languages: pip install 'evalkit[languages]'"
