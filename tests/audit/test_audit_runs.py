"""An audit beside the runs that made the judgments: their records, what was asked and said, and the run's own page."""

import json
import re

import msgspec
import pytest

from evalkit.audit.analyse import audit
from evalkit.audit.example_texts import completed
from evalkit.core.schema import Ref, Response
from evalkit.evidence.evidence import Lineage
from evalkit.evidence.findings import Example
from evalkit.evidence.gather import gather
from evalkit.evidence.relations import relations
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_about import about, described
from evalkit.stats.errors import NotMeasurable
from evalkit.storage.run_records import read, run_records
from evalkit.storage.store import Store
from tests.biases.simulated import Study, only, scored

RUN = ("run", "pocket", "model=fake", "judge=fake", "limit=2")


@pytest.fixture
def page(cli, tmp_path):
    """Of one run."""
    bias = "judge.fake.backend.position_bias=4"  # so that there are examples of it
    assert cli(*RUN, "protocol=pairwise", "model=[fake,smollm2_fake]", bias, "--config-dir", own(tmp_path)).code == 0
    (path,) = tmp_path.glob("results/pocket/runs/*/report.html")
    return path.read_text()


def own(tmp_path):
    """A folder with one more model, whose file says who it is related to."""
    (tmp_path / "own" / "model").mkdir(parents=True)
    backend = "{_target_: evalkit.backends.fake.Fake, model: other, skill: 3}"
    (tmp_path / "own" / "model" / "smollm2_fake.yaml").write_text(
        f"smollm2_fake:\n  price: free\n  backend: {backend}\n  family: smollm\n  trained_on: [gpt-4]\n"
    )
    return str(tmp_path / "own")


def test_the_page_says_who_was_judged_by_whom_and_begins_with_ratings(page):
    (title,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert re.fullmatch(
        r"pocket: models fake, smollm2_fake judged by fake <small>\d{4}-\d\d-\d\d \d\d:\d\d UTC</small>", title
    )
    assert page.index('<section id="ratings">') < page.index('<div id="verdict">') < page.index("<nav")
    assert page.count('<section id="ratings">') == 1


def test_a_run_leaves_a_page(page):
    for words in ("What you may and may not conclude from fake", "Configuration", "Ratings", "failed"):
        assert words in page
    for words in ("asked of fake", "requests;", "versions", "protocol pairwise", "SHA-256"):
        assert words in page
    assert len(page.encode()) < 200_000
    titles = re.findall(r"<title>(.*?)</title>", page)
    assert titles[0].startswith("pocket: ")


def test_the_page_shows_questions_and_what_the_judge_wrote(page):
    shown = page.split('id="examples"')[1]
    questions = json.loads(b"[" + b",".join(pocket_questions()) + b"]")
    assert any(msgspec.json.encode(turn)[1:20].decode() in shown for row in questions for turn in row["turns"])
    assert "What the judge wrote" in shown


def pocket_questions():
    from evalkit.core.paths import shipped

    return (shipped("benchmarks") / "pocket" / "questions.jsonl").read_bytes().splitlines()


def test_no_path_of_this_machine_is_on_the_page(page, tmp_path):
    assert str(tmp_path) not in page


def test_the_path_is_printed_and_a_stored_run_writes_no_other(cli, tmp_path):
    first = cli(*RUN)
    (path,) = tmp_path.glob("results/pocket/runs/*/report.html")
    assert f"report: {path.relative_to(tmp_path)}" in first.err
    second = cli(*RUN)
    assert f"report: {path.relative_to(tmp_path)}" in second.err
    assert len(list(tmp_path.glob("results/pocket/runs/*/report.html"))) == 1


def test_a_run_in_which_nothing_was_judged_has_none(cli, tmp_path):
    done = cli(*RUN, "model.fake.backend.script=[refuse,refuse,refuse,refuse,refuse,refuse,refuse,refuse]")
    assert "report:" not in done.err or list(tmp_path.glob("results/pocket/runs/*/report.html"))
    assert "Traceback" not in done.err


@pytest.mark.parametrize("wrong", [NotMeasurable("needs ratings that differ"), ZeroDivisionError("by nothing")])
def test_a_defect_of_the_audit_is_no_traceback_after_a_run(cli, tmp_path, monkeypatch, wrong):
    """Ratings, closing and what was judged are there; the message says that the page is not."""

    def findings(self, evidence):
        raise wrong

    monkeypatch.setattr("evalkit.biases.position.Position.findings", findings)
    done = cli(*RUN)
    assert done.code == 1
    assert f"report could not be made ({type(wrong).__name__}: {wrong})" in " ".join(done.err.split())
    assert done.err.index("could not be made") > done.err.index("this run:")
    assert list(tmp_path.glob("results/pocket/runs/*/leaderboard.json"))
    assert not list(tmp_path.glob("results/pocket/runs/*/report.html"))


def test_only_this_runs_rows_are_on_its_page(cli, tmp_path):
    """An earlier run with another judge left rows in the same folder."""
    (tmp_path / "own" / "judge").mkdir(parents=True)
    backend = "{_target_: evalkit.backends.fake.Fake, model: other}"
    (tmp_path / "own" / "judge" / "other.yaml").write_text(f"other:\n  price: free\n  backend: {backend}\n")
    assert cli(*RUN, "judge=other", "--config-dir", str(tmp_path / "own")).code == 0
    assert cli(*RUN, "run.name=second").code == 0
    text = (tmp_path / "results/pocket/runs/second/report.html").read_text()
    assert "conclude from fake" in text
    assert "conclude from other" not in text


def test_relations_come_from_the_runs_record(cli, tmp_path):
    assert cli(*RUN, "model=[fake,smollm2_fake]", "--config-dir", own(tmp_path)).code == 0
    records = run_records([tmp_path / "results"])
    assert records[0].kin["smollm2_fake"].family == "smollm"
    assert relations(records)["smollm2_fake"] == Lineage("smollm", ("gpt-4",))
    assert "smollm2_fake" not in relations()


def test_recorded_relations_reach_the_audit(tmp_path):
    store = Store(tmp_path, "study")
    for number, row in enumerate(Study(questions=15).rows()):
        log = store.judgments(row.judge.name, row.protocol)
        log.append(msgspec.structs.replace(row, key=str(number)))
    store.close()
    folder = tmp_path / "study" / "runs" / "one"
    folder.mkdir(parents=True)
    kin = {"m0": {"family": "x"}, "m3": {"family": "x"}, "m4": {"trained_on": ["x"]}}
    (folder / "manifest.json").write_text(json.dumps({"benchmark": "study", "kin": kin, "started": "2026"}))
    found = [row for row in audit([tmp_path]).findings if "residual" in row.metric]
    assert {row.details["model"] for row in found} == {"m0", "m3", "m4"}
    assert not any(row.details["guessed"] for row in found)


def test_damaged_records_tell_nothing(tmp_path):
    runs = tmp_path / "b" / "runs"
    for name, content in (("a", "{"), ("b", "[]"), ("c", '{"benchmark": "b", "kin": {"m": {"family": 3}}}')):
        (runs / name).mkdir(parents=True)
        (runs / name / "manifest.json").write_text(content)
    assert run_records([tmp_path]) == []
    assert read(tmp_path / "none.json") is None


def test_about_an_imported_folder(tmp_path, monkeypatch):
    store = Store(tmp_path / "votes", "b")
    for number, when in enumerate((1.7e9, 1.6e9)):
        row = scored("m", 5.0, item=f"q{number}")
        store.judgments("j", "single").append(msgspec.structs.replace(row, key=str(number), created=when))
    store.close()
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    given = [Path("votes")]
    rows = dict(about(given, None, audit(given)))
    assert rows == {"audited": "votes", "judgments": "2", "judged": "2020-09-13 12:26 UTC to 2023-11-14 22:13 UTC"}


def test_a_configuration_in_a_line():
    fields = {"backend": "OpenAI", "model": "gpt-4o", "system_prompt": None, "sampling": {"temperature": 0}, "seed": 1}
    assert described(fields) == "backend OpenAI; model gpt-4o; sampling temperature=0; seed 1"
    assert described({"fingerprint": "a" * 32}) == "fingerprint " + "a" * 12


def test_the_judges_words_in_both_orders_the_last_row_counting(tmp_path):
    path = tmp_path / "j.jsonl"
    study = [row for row in Study(questions=1, models=2).rows() if row.judge.fingerprint != HUMAN]
    first, second = study[:2]
    rows = [
        msgspec.structs.replace(first, key="1", raw="old"),
        msgspec.structs.replace(second, key="2", raw="swapped"),
        msgspec.structs.replace(first, key="1", raw="new"),
        msgspec.structs.replace(first, key="3", raw="repeated", repeat=1),
    ]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)) + b'\n{"torn')
    example = Example(
        kind="inconsistent", benchmark="study", judge="m0", protocol="pairwise", item="q0", category="c0", turn=1,
        model_a="m0", model_b="m1", answer_a=None, answer_b=None, judge_says=(), shown=("q0m0", "q0m1"),
    )  # fmt: skip
    (done,) = completed([example], [path], {"study": {"q0": ("What?",)}})
    assert (done.question, done.raw) == ("What?", ("new", "swapped"))
    (other,) = completed([example], [path])
    assert other.question is None


def test_markers_are_counted_by_answer_and_clustered_by_question():
    """Two turns of one question are two answers of one question."""
    rows, answers = [], []
    for q in range(8):
        mark = "My final verdict is: [[A]]" if q == 0 else "A plain answer."
        answer = Response(
            key=str(q), item=f"q{q}", benchmark="mtbench", category="c", model=Ref("m", "1"), turns=(mark, mark)
        )
        answers.append(answer)
        for turn in (1, 2):
            row = scored("m", 5.0, item=f"q{q}")
            rows.append(
                msgspec.structs.replace(row, benchmark="mtbench", turn=turn, shown=(answer.id,), key=f"{q}{turn}")
            )
    from evalkit.biases.hygiene import Hygiene

    found = list(Hygiene().findings(gather(rows, answers)[0].evidence[0]))
    marks = only(found, "hygiene_template_markers")
    assert (marks.n, marks.questions, marks.estimate) == (16, 8, 2 / 16)
    assert "2 of 16 answers" in marks.sentence


def test_kinds_of_failure_are_clustered_by_question():
    from evalkit.biases.hygiene import Hygiene

    rows = [scored(f"m{m}", None if q == 0 else 5.0, item=f"q{q}") for q in range(10) for m in range(4)]
    lost = only(list(Hygiene().findings(gather(rows)[0].evidence[0])), "hygiene_unparsed")
    assert (lost.n, lost.questions, lost.estimate) == (40, 10, 0.1)
    assert lost.upper > 0.24, "four failures on one question are one event"
