"""In which language answers are: told where there is enough prose, and never guessed without the detector."""

from __future__ import annotations

import pytest

from evalkit.core.schema import Ref, Response
from evalkit.ratings import answer_languages
from evalkit.ratings.answer_checks import AnswerChecks
from evalkit.ratings.answer_languages import LANGUAGES, detector, language_of, prose

TEXTS = {
    "de": "Die Reise begann an einem kalten Morgen, und niemand ahnte, dass der Fluss über die Ufer getreten war.",
    "en": "The journey began on a cold morning, and nobody knew that the river had already burst its banks upstream.",
    "fr": "Le voyage a commencé par un matin froid, et personne ne savait que la rivière avait déjà quitté son lit.",
    "id": "Perjalanan itu dimulai pada pagi yang dingin, dan tidak ada yang tahu bahwa sungai sudah meluap ke jalan.",
    "ja": "旅は寒い朝に始まりましたが、川がもう堤防を越えていたことは誰も知りませんでした。",
    "ko": "여행은 추운 아침에 시작되었고, 강물이 이미 둑을 넘었다는 것을 아무도 알지 못했습니다.",
    "pl": "Podróż zaczęła się w zimny poranek i nikt nie wiedział, że rzeka już dawno wystąpiła z brzegów za miastem.",
    "ru": "Путешествие началось холодным утром, и никто не знал, что река уже вышла из берегов выше по течению.",
    "vi": "Chuyến đi bắt đầu vào một buổi sáng lạnh, và không ai biết rằng con sông đã tràn bờ ở phía thượng nguồn.",
    "zh": "旅程在一个寒冷的早晨开始，没有人知道上游的河水早已漫过了堤岸，淹没了通往村子的道路。",
}


def answer(number, text, benchmark="mtbench_ja"):
    return Response(
        key=str(number), item=str(number), benchmark=benchmark, category="c", model=Ref("m", "1"), turns=(text,)
    )


def notes(*rows):
    checks = AnswerChecks()
    for row in rows:
        checks.add(row)
    return checks.notes()


@pytest.fixture
def installed():
    if detector() is None:
        pytest.skip("py3langid is not installed")


def test_every_language_that_a_benchmark_asks_for_is_told(installed):
    assert {code: detector()(text) for code, text in TEXTS.items()} == {code: code for code in LANGUAGES}


def test_short_answers_and_code_are_not_told(installed):
    code = "```python\n" + "for number in numbers: print(number)\n" * 20 + "```"
    assert [detector()(text) for text in ("はい。", "42", "", code)] == [None] * 4
    assert detector()(f"{TEXTS['ja']}\n{code}") == "ja"
    assert prose(f"a {code} b") is None


def test_answers_in_another_language_are_counted(installed):
    right = [answer(n, f"{n} {TEXTS['ja']}") for n in range(8)]
    assert notes(*right, answer(8, "42")) == []
    wrong = [answer(20 + n, f"{n} {text}") for n, text in enumerate((TEXTS["en"], TEXTS["en"], TEXTS["ko"]))]
    assert notes(*right, *wrong, answer(8, "42")) == [
        "m: 3 of 11 answers whose language can be told are not in Japanese (2 English, 1 Korean); a judge may not mind"
    ]


def test_nothing_is_said_where_no_language_is_asked_for(installed):
    assert notes(*(answer(n, f"{n} {TEXTS['en']}", "mtbench") for n in range(9))) == []


def test_without_the_detector_nothing_is_told_and_that_is_said(monkeypatch):
    monkeypatch.setattr(answer_languages, "detector", lambda: None)
    (note,) = notes(*(answer(n, f"{n} {TEXTS['en']}") for n in range(9)))
    assert note == "m: whether answers are in Japanese was not checked; pip install 'evalkit[languages]'"


def test_which_language_a_benchmark_asks_for():
    assert [language_of(name) for name in ("mtbench_ko", "arena-mtbench_ko", "mtbench", "mine")] == [
        *("ko", "ko", None, None),
    ]
