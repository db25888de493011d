"""The viewer: what its table shows and in which order, what a case's page holds, and that texts are inert."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.app.answer_html import visible
from evalkit.app.case_page import CaseReader
from evalkit.app.export import export
from evalkit.app.filters import CaseFilter, read
from evalkit.app.judgment_index import JudgmentIndex
from evalkit.app.prompts import PromptRebuilder
from evalkit.app.results import OpenResults
from evalkit.app.view_pages import ViewPages
from evalkit.core.protocols import UsageError
from evalkit.core.schema import ChatTurn, Criterion, CriterionVerdict, Failure, Item
from evalkit.storage.items import Items
from evalkit.storage.store import Store
from tests.app.browser import chromium, client
from tests.app.planted import ATTACK, answer, judged, results


@pytest.fixture
def opened(tmp_path):
    return OpenResults((results(tmp_path / "results"),))


def found(opened, **wanted):
    """Question, judge and models of what a filter shows."""
    cases, names = opened.cases, opened.cases.names
    return [
        (
            names.questions[cases.item[case]].item,
            names.judges[cases.judge[case]].name,
            "/".join(names.models[one].name for one in names.shown[cases.shown[case]]),
        )
        for case in opened.chooser.chosen(CaseFilter(**wanted)).tolist()
    ]


def pages(opened):
    return client(ViewPages(opened, CaseReader(opened, PromptRebuilder(opened.paths))).routes())


def test_a_case_is_one_judge_on_the_same_answers_in_both_orders(opened):
    assert len(found(opened)) == 4 * 4
    assert {(judge, models) for _, judge, models in found(opened)} == {
        ("judge", "one/two"),
        ("human", "one/two"),
        ("strict", "one"),
        ("strict", "two"),
    }


@pytest.mark.parametrize(
    ("wanted", "items"),
    [
        ({"orders": "disagree"}, {"q1", "q3"}),
        ({"people": "disagree", "judge": "judge"}, {"q0", "q1", "q2", "q3"}),
        ({"failure": "any"}, {"q3"}),
        ({"failure": "unparsed"}, {"q3"}),
        ({"category": "even", "judge": "judge"}, {"q0", "q2"}),
        ({"judge": "judge", "model": "one", "verdict": "win"}, {"q0", "q2"}),
        ({"judge": "judge", "model": "two", "verdict": "loss"}, {"q0", "q2"}),
        ({"judge": "judge", "verdict": "tie"}, {"q1", "q3"}),
        ({"judge": "strict", "model": "one", "low": "1", "high": "2"}, {"q1", "q2"}),
        ({"judge": "strict", "q": "grade of 2", "place": "judge"}, {"q2"}),
        ({"q": "QUESTION 1", "place": "question"}, {"q1"}),
        ({"verdict": "(2.0,)", "model": "one"}, {"q2"}),
    ],
)
def test_filters(opened, wanted, items):
    assert {item for item, _, _ in found(opened, **wanted)} == items


def test_answers_are_searched_by_the_models_that_wrote_them(opened):
    shown = found(opened, q="BY TWO, LONGER", place="answer")
    assert {models for _, _, models in shown} == {"one/two", "two"}


def test_a_search_in_the_judges_words_shows_what_it_found_so_far_and_goes_on(opened, monkeypatch):
    monkeypatch.setattr("evalkit.app.word_search.BLOCK", 300)  # about a line
    monkeypatch.setattr(opened, "chooser", replace(opened.chooser, patience=0.0))
    wanted = CaseFilter(judge="strict", q="GRADE of", place="judge")
    assert opened.chooser.chosen(wanted).size == 0
    calls = pages(opened)
    text = calls.get("/?" + wanted.query()).text
    assert "Still searching: 0% of the judges&#39; words so far" in text
    assert "0 cases so far" in text
    assert 'data-version="searching"' in text
    monkeypatch.setattr(opened, "chooser", replace(opened.chooser, patience=0.001))
    seen = []
    while (part := opened.chooser.searching(wanted)) is not None:
        opened.chooser.chosen(wanted)
        seen.append(part)
    assert seen == sorted(seen)
    assert opened.chooser.chosen(wanted).size == 4
    text = calls.get("/?" + wanted.query()).text
    assert "Still searching" not in text
    assert "1 to 4 of 4 cases" in text


@pytest.mark.parametrize("wanted", ['say "é" \\', "É", "SAY", "nothing", '"raw":', "x\\ny", "straße"])
def test_words_are_found_as_they_are_read_and_not_as_they_are_stored(tmp_path, wanted):
    said = ['I say "é" \\ and', "plain", "x\ny", "x\\ny", "Strasse STRASSE straße", '{"raw": 1}']
    store = Store(tmp_path / "results", "b")
    log = store.judgments("j", "single")
    item = Item(id="q", benchmark="b", category="c", turns=("Q",))
    for number, raw in enumerate(said):
        log.append(judged("j", [answer(f"m{number}", item, "A")], (1.0,), protocol="single", raw=raw))
    store.close()
    opened = OpenResults((tmp_path / "results",))
    models = {models for _, _, models in found(opened, q=wanted, place="judge")}
    assert models == {f"m{number}" for number, raw in enumerate(said) if wanted.casefold() in raw.casefold()}


def test_worst_first_with_failures_last(opened):
    shown = found(opened, judge="strict", model="one")
    assert [item for item, _, _ in shown] == ["q0", "q1", "q2", "q3"]
    assert [item for item, _, _ in found(opened, judge="strict", model="one", sort="best")] == ["q2", "q1", "q0", "q3"]


def test_the_biggest_difference_is_of_grades_on_the_same_question(opened):
    assert found(opened, judge="strict", sort="difference")[0][0] == "q0"  # 0 and 2, of a scale from 0 to 2


def test_moved_since_another_run(tmp_path):
    old, new = results(tmp_path / "old"), results(tmp_path / "new")
    store = Store(new, "pocket")
    log = store.judgments("strict", "single")
    row = next(one for one in log if one.item == "q1" and one.models[0].name == "one")
    changed = judged("strict", [answer("one", _item(row), "An answer by one")], (0.0,), protocol="single")
    log.append(changed)
    store.close()
    opened = OpenResults((old, new))
    moved = found(opened, moved="1", run="2")
    assert [item for item, _, _ in moved] == ["q1"] or {item for item, _, _ in moved} == {"q1"}
    with pytest.raises(UsageError, match="no run '7'"):
        found(opened, moved="7")


def _item(row):

    return Item(id=row.item, benchmark=row.benchmark, category=row.category, turns=("x", "y"))


def test_every_filter_is_in_the_url_and_back():
    wanted = CaseFilter(judge="a & b", q="<x>", low="1", sort="longest")
    from urllib.parse import parse_qsl

    assert read(dict(parse_qsl(wanted.query()))) == wanted


@pytest.mark.parametrize("query", ["sort=nonsense", "low=abc", "high=nan", "people=perhaps", "run=9", "moved=0"])
def test_a_filter_that_is_not_possible_is_a_message(opened, query):
    reply = pages(opened).get(f"/?{query}")
    assert reply.status == 400
    assert "Traceback" not in reply.text


def test_rows_that_arrive_are_taken_in_and_replaced_ones_count_once(tmp_path):
    folder = results(tmp_path / "results")
    index = JudgmentIndex((folder,), tmp_path / "cache")
    index.refresh()
    rows = len(index)
    store = Store(folder, "pocket")
    log = store.judgments("strict", "single")
    first = next(iter(log))
    log.append(first)  # the same key again
    store.close()
    again = JudgmentIndex((folder,), tmp_path / "cache")
    assert len(again) == rows  # from the cache
    assert again.refresh()
    assert len(again) == rows + 1
    from evalkit.app.cases import cases_of

    assert cases_of(again).judgments.sum() == rows


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    folder = results(tmp_path / "results")
    opened = OpenResults((folder,), tmp_path / "cache")
    file = next(folder.glob("*/judgments/strict*"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.unlink()
    file.write_bytes(b"".join(lines[:2]))
    again = OpenResults((folder,), tmp_path / "cache")
    assert sum(judge == "strict" for _, judge, _ in found(again)) == 2
    assert len(found(again)) < len(found(opened))


def test_an_index_that_was_cut_short_is_made_again(tmp_path):
    folder = results(tmp_path / "results")
    OpenResults((folder,), tmp_path / "cache")
    file = tmp_path / "cache" / "index.npz"
    whole = file.read_bytes()
    for damaged in (whole[:40], whole[: len(whole) // 2], b"", whole[::-1]):
        file.write_bytes(damaged)
        assert {judge for _, judge, _ in found(OpenResults((folder,), tmp_path / "cache"))} == {
            "judge",
            "human",
            "strict",
        }


def test_a_case_page_holds_both_orders_votes_thinking_reference_and_the_judges_words(opened):
    reply = pages(opened).get("/case?of=pocket&item=q1&m=one&m=two")
    text = reply.text
    assert reply.status == 200
    for words in ("Reference 1", "Thought 1", "one shown first", "two shown first", "its two orders disagree"):
        assert words in text
    assert "judge says (1.0, 0.0)" in text
    assert "grade of 1" in text  # of each answer alone, too
    assert re.search(r"<td class=\"name\">ann</td>", text)


def test_next_and_previous_follow_the_filter(opened):
    text = pages(opened).get("/case?of=pocket&item=q1&m=one&judge=strict&model=one").text
    assert "2 of 4" in text
    assert "item=q0" in re.search(r'href="([^"]*)" rel="prev"', text)[1]
    assert "item=q2" in re.search(r'href="([^"]*)" rel="next"', text)[1]


def test_what_is_not_there_is_said(opened):
    for query in ("of=pocket&item=nothing&m=one", "of=pocket&item=q1&m=nobody", "of=pocket&item=q1", ""):
        assert pages(opened).get(f"/case?{query}").status == 400


def test_two_models_beside_each_other_worst_first(opened):
    text = pages(opened).get("/compare?old=two&new=one").text
    grades = text[text.index("strict") :]
    assert "-1.000" in grades  # one: 0, 1, 2 and a failure; two: 2, 2, 2
    assert "0 better, 2 worse, 1 equal" in grades
    assert grades.index("item=q0") < grades.index("item=q1")


@pytest.mark.slow
def test_a_prompt_is_exact_only_if_it_leads_to_the_stored_key(tmp_path):

    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "evalkit", "run", "pocket", "model=fake", "judge=fake", "limit=1", "results_dir=r"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    opened = OpenResults((tmp_path / "r",))
    row = opened.cases.judgments_of(0)[0]
    item = opened.texts.question("pocket", row.item)
    shown = opened.texts.answers("pocket", row.item, "fake")
    rebuilder = PromptRebuilder(opened.paths)
    prompt = rebuilder.prompt(row, item, shown)
    assert prompt.sure == "exact"
    assert item.turns[0] in prompt.messages[-1].content
    import msgspec

    other = msgspec.structs.replace(item, turns=("Another question?", *item.turns[1:]))
    assert rebuilder.prompt(row, other, shown).sure == "same protocol"


def test_hidden_characters_are_shown_and_no_others():
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co")
    for code in range(0x110000):
        char = chr(code)
        kept = unicodedata.category(char) not in hidden or char in "\n\t\u200c\u200d"
        if unicodedata.category(char) != "Cn":  # what is not assigned may be shown either way
            assert (visible(f"a{char}b") == f"a{char}b") == kept, code
    assert visible("a\r\nb\u202ec") == "a\nb⟨U+202E⟩c"


@pytest.mark.slow
def test_hostile_texts_are_inert_on_every_page(tmp_path):
    folder = tmp_path / "results"
    results(folder, questions=1, text=ATTACK, benchmark="pocket")
    store = Store(folder, "pocket")

    item = Item(
        id=ATTACK, benchmark="pocket", category=ATTACK, turns=(ATTACK,), reference=(ATTACK,), meta={ATTACK: ATTACK}
    )
    Items(store.root).keep([item])
    evil = answer(ATTACK, item, ATTACK, thinking=(ATTACK,))
    good = answer("one", item, ATTACK)
    store.responses(ATTACK).append(evil)
    store.responses("one").append(good)
    more = {"label": ATTACK, "raw": ATTACK, "logprobs": {ATTACK: -0.1}, "snapshot": ATTACK}
    store.judgments("judge", "pairwise").append(judged(ATTACK, [evil, good], (1.0, 0.0), **more))
    store.judgments("judge", "single").append(
        judged("judge", [evil], Failure("unparsed", ATTACK), protocol=ATTACK, raw=ATTACK)
    )
    store.judgments("ann", "x").append(judged("ann", [evil, good], (0.5, 0.5), label=ATTACK, raw=ATTACK))
    store.close()
    opened = OpenResults((folder,))
    calls = pages(opened)
    from urllib.parse import urlencode

    case = "/case?" + urlencode([("of", "pocket"), ("item", ATTACK), ("m", ATTACK), ("m", "one"), ("q", ATTACK)])
    for path in ("/", case, "/compare?" + urlencode({"old": ATTACK, "new": "one"}), "/?" + urlencode({"q": ATTACK})):
        text = calls.get(path).text
        assert "owned" in text
        for hostile in (
            "<script>document",
            "<img",
            "<svg",
            "<b id",
            '<a href="javascript',
            "\u202e",
            "\x1b",
            "\x07",
            "\u200b",
        ):
            assert hostile not in text, (path[:20], hostile)
    out = tmp_path / "out"
    export(opened, CaseReader(opened, None), out)
    with chromium() as page:
        for file in [out / "index.html", *(out / "case").glob("*.html")]:
            page.goto(file.as_uri())
            assert (
                "owned" not in re.sub("[^ ]*<[^>]*>[^<]*", "", page.title())
                or page.evaluate("document.getElementById('owned')") is None
            )
            assert page.evaluate("document.querySelectorAll('main script, main img, main svg, #owned').length") == 0


@pytest.mark.slow
def test_an_export_opens_from_disk_with_filters_keys_and_no_request_elsewhere(opened, tmp_path):
    out = tmp_path / "out"
    written = export(opened, CaseReader(opened, None), out)
    assert (written.cases, written.pages) == (16, 12)
    with chromium(viewport={"width": 1280, "height": 900}) as page:
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((out / "index.html").as_uri() + "?judge=judge&verdict=tie")
        assert page.locator("#rows tr").count() == 2
        assert page.locator("#count").inner_text() == "2 of 16 cases"
        page.select_option("#f-verdict", "")
        page.wait_for_url("**judge=judge**")
        page.locator("#rows tr").nth(3).wait_for()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/case/*.html#judge=judge")
        assert "shown first" in page.inner_text("main")
        page.keyboard.press("d")
        assert page.locator("mark").count() > 0
        page.keyboard.press("u")
        page.wait_for_url("**/index.html?judge=judge")  # the same lines again
        assert not wrong
        assert all(url.startswith(Path(out).as_uri()) for url in asked)


def test_a_folder_that_cannot_be_written_is_a_message(opened, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        export(opened, CaseReader(opened, None), tmp_path / "file" / "out")


def test_a_rubric_and_what_was_said_of_its_criteria(tmp_path):
    folder = tmp_path / "results"
    store = Store(folder, "pocket")
    item = Item(
        id="r",
        benchmark="pocket",
        category="x",
        turns=("Q",),
        system="Be brief.",
        messages=(ChatTurn("user", "Earlier"),),
        rubric=(Criterion(id="right", text="Is it right?", points=3), Criterion(id="clear", text="Clear?", kind="1-5")),
    )
    Items(store.root).keep([item])
    one = answer("one", item, "An answer")
    store.responses("one").append(one)
    said = (
        CriterionVerdict(id="right", points=3, value=0.0, reason="it is wrong"),
        CriterionVerdict(id="clear", kind="1-5", error=Failure("unparsed", "no grade")),
    )
    store.judgments("judge", "rubric").append(
        judged("judge", [one], (0.0,), protocol="rubric", criteria=said, thinking="Hmm, wrong.")
    )
    store.close()
    text = pages(OpenResults((folder,))).get("/case?of=pocket&item=r&m=one").text
    for words in (
        "Be brief.",
        "Earlier",
        "Is it right?",
        "not met (3 points): it is wrong",
        "no verdict (unparsed)",
        "Hmm, wrong.",
    ):
        assert words in text
