"""Stored results in Python: tables, leaderboards and audits say what the command line says."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

import evalkit as ek
from evalkit.core.schema import Failure, Judgment, Ref, Response, Usage
from evalkit.storage.store import Store

PERSON = Ref("ann", "human")
JUDGE = Ref("judge", "j1")


def response(item: int, model: str, **more) -> Response:
    fields = {"turns": (f"answer {item}",), "finish": ("stop",), "usage": (Usage(5, 7),), "cost": 0.5, **more}
    return Response(
        key=f"{model}-{item}", item=str(item), benchmark="own", category=f"c{item % 2}", model=Ref(model, "m"), **fields
    )


def judgment(key: str, item: int, models: tuple[str, ...], scores: tuple[float, ...] | None, **more) -> Judgment:
    error = None if scores is not None else Failure("unparsed", "no verdict")
    fields = {"judge": JUDGE, "protocol": "single" if len(models) == 1 else "pairwise", "raw": "<b>words</b>", **more}
    return Judgment(
        key=key,
        item=str(item),
        benchmark="own",
        category=f"c{item % 2}",
        turn=1,
        parser="p",
        shown=tuple(response(item, model).id for model in models),
        models=tuple(Ref(model, "m") for model in models),
        lengths=tuple(10 * place + item for place, _ in enumerate(models)),
        scores=scores,
        error=error,
        usage=Usage(100, 10),
        cost=0.25,
        **fields,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path, "own")
    singles, pairs = store.judgments("judge", "single"), store.judgments("judge", "pairwise")
    for item in range(12):
        for model, level in (("a", 7.0), ("b", 5.0)):
            store.responses(model).append(response(item, model))
            failed = item == 3 and model == "a"
            singles.append(judgment(f"s{model}{item}", item, (model,), None if failed else (level + item % 3,)))
        won = (1.0, 0.0) if item % 4 else (0.5, 0.5) if item % 8 else (0.0, 1.0)
        pairs.append(judgment(f"p{item}", item, ("a", "b"), None if item == 5 else won))
    store.responses("c").append(response(0, "c", turns=("first",), error=Failure("refused", "no")))
    store.close()
    return tmp_path


def command(folder: Path, *arguments: str) -> dict:
    told = [sys.executable, "-m", "evalkit", *arguments, "--format", "json"]
    return json.loads(subprocess.run(told, cwd=folder, capture_output=True, text=True, check=True).stdout)


def test_judgments_of_both_kinds(folder):
    frame = ek.load(folder).judgments()
    assert len(frame) == 36
    single, pair = frame[frame.protocol == "single"], frame[frame.protocol == "pairwise"]
    assert single.model.notna().all()
    assert single.winner.isna().all()
    assert pair.model.isna().all()
    assert list(pair.model_a.unique()) == ["a"]
    assert pair.winner.value_counts().to_dict() == {"a": 8, "b": 2, "tie": 1}
    assert set(frame.raw) == {"<b>words</b>"}
    assert frame.cost.sum() == 36 * 0.25


def test_a_failed_judgment_has_no_number(folder):
    frame = ek.load(folder).judgments()
    failed = frame[frame.failed.notna()]
    assert list(failed.failed) == ["unparsed", "unparsed"]
    assert failed[["score", "score_a", "score_b", "winner"]].isna().all().all()
    assert list(failed.failure) == ["no verdict"] * 2
    kept = frame[frame.failed.isna()]
    assert kept.score.notna().sum() == 23
    assert kept.score_a.notna().sum() == 11


def test_judgments_without_words_are_the_same_but_for_what_was_written(folder):
    results = ek.load(folder)
    whole, short = results.judgments(), results.judgments(words=False)
    assert "raw" not in short
    assert whole[list(short.columns)].equals(short)


def test_the_latest_row_of_a_key_counts(folder):
    store = Store(folder, "own")
    log = store.judgments("judge", "single")
    log.append(replace_score(log, "sb0", 1.0))
    store.close()
    frame = ek.load(folder).judgments()
    assert len(frame) == 36
    assert frame[frame.key == "sb0"].score.item() == 1.0


def replace_score(log, key: str, score: float) -> Judgment:
    import msgspec

    return msgspec.structs.replace(log.get(key), scores=(score,))


def test_lists_of_answers(tmp_path):
    store = Store(tmp_path, "own")
    store.judgments("judge", "ranked").append(judgment("l", 1, ("a", "b", "c"), (3.0, 1.0, 2.0)))
    store.close()
    row = ek.load(tmp_path).judgments().iloc[0]
    assert row.models == ("a", "b", "c")
    assert row.scores == (3.0, 1.0, 2.0)


def test_answers_one_row_a_turn_and_one_for_what_failed(folder):
    frame = ek.load(folder).answers()
    assert len(frame) == 26
    lost = frame[frame.model == "c"]
    assert list(lost.turn) == [1, 2]
    assert lost.answer.iloc[0] == "first"
    assert lost.failed.isna().tolist() == [True, False]
    assert lost.answer.isna().tolist() == [False, True]


def test_nothing_stored_is_an_empty_table(tmp_path):
    (tmp_path / "judgments").mkdir()
    assert ek.load(tmp_path).judgments().empty
    assert ek.load(tmp_path).answers().empty


@pytest.mark.parametrize("method", ["score", "bt", "winrate", "elo"])
def test_a_leaderboard_is_that_of_the_command_line(folder, method):
    board = ek.load(folder).leaderboard(method)
    told = command(folder, "leaderboard", ".", "--method", method)
    assert json.loads(board.to_json()) == told
    assert board.frame.model.tolist() == [row["model"] for row in told["rows"]]
    for row, lower in zip(told["rows"], board.frame.lower, strict=True):  # what is not rated is missing, no number
        assert lower == row["lower"] or (row["lower"] is None and math.isnan(lower))


def test_scores_are_the_usual_leaderboard_of_single_grading(folder):
    results = ek.load(folder)
    pandas.testing.assert_frame_equal(results.scores(), results.leaderboard().frame)
    assert set(results.scores(by_category=True).category) == {"c0", "c1"}


def test_tables_for_papers_and_pages(folder):
    board = ek.load(folder).leaderboard("bt")
    assert r"\toprule" in board.to_latex()
    assert "| model |" in board.to_markdown()
    assert "<svg" in board.to_html()
    assert "<table" in board._repr_html_()
    assert "<table" in ek.load(folder)._repr_html_()


def test_names_of_models_are_text_in_a_notebook(tmp_path):
    store = Store(tmp_path, "own")
    for item in range(8):
        name = "<script>alert(1)</script>"
        store.judgments("judge", "single").append(judgment(f"s{item}", item, (name,), (5.0,)))
    store.close()
    shown = ek.load(tmp_path).leaderboard()._repr_html_()
    assert "<script" not in shown
    assert "&lt;script" in shown


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"method": "elos"}, "method='elos' is not possible; there are: score, winrate, lc, bt, elo"),
        ({"method": "bt", "baseline": "a"}, "baseline has no meaning for method 'bt'; it goes with: winrate, lc"),
        ({"method": "bt", "tie": "half"}, "leaderboard has no choice 'tie'; there are: aggregate"),
        ({"judge": "nobody"}, "no judgments by 'nobody'"),
    ],
)
def test_mistakes_are_told(folder, choices, said):
    with pytest.raises(ek.UsageError, match=said.replace(".", r"\.")):
        ek.load(folder).leaderboard(**choices)


def test_a_path_that_is_not_there():
    with pytest.raises(ek.UsageError, match="no results at 'nowhere'"):
        ek.load("nowhere")


VOTES = [
    {"item": str(item), "model_a": "a", "model_b": "b", "winner": "model_a", "annotator": "x"} for item in range(12)
]


def tables():
    import pyarrow

    return [VOTES, pandas.DataFrame(VOTES), pyarrow.Table.from_pylist(VOTES)]


@pytest.mark.parametrize("table", tables(), ids=["list", "pandas", "pyarrow"])
def test_votes_from_memory_are_those_of_a_file(folder, tmp_path, table):
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(vote) + "\n" for vote in VOTES))
    results = ek.load(folder / "own")
    told = json.loads(results.audit(human=path).to_json())
    assert json.loads(results.audit(human=table).to_json()) == told
    assert any(row["other"] == "human" for row in told["agreement"])


def test_an_audit_in_tables(folder):
    found = ek.load(folder).audit(human=VOTES)
    assert {"metric", "estimate", "lower", "upper", "n", "sentence"} <= set(found.findings.columns)
    failed = found.findings[found.findings.not_measurable.notna()]
    assert failed.estimate.isna().all()
    assert "human" in set(found.agreement.other)
    assert set(found.conclusions.kind) <= {"may", "may not", "unknown"}
    assert "<html" in found.to_html()


def test_no_table_is_told():
    from evalkit.api.tables import records

    with pytest.raises(ek.UsageError, match="int is no table"):
        records(3)


def test_missing_values_of_tables_are_none():
    from evalkit.api.tables import records

    frame = pandas.DataFrame(
        {"n": [1, None], "when": [pandas.NaT, pandas.Timestamp("2026-01-01")], "text": [pandas.NA, "x"]}
    )
    first, second = records(frame)
    assert first == {"n": 1.0, "when": None, "text": None}
    assert second["n"] is None


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, evalkit; print([m for m in ('numpy', 'pandas', 'hydra', 'rich', 'msgspec') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_name_of_the_api_is_there():
    for name in ek.__all__:
        assert getattr(ek, name) is not None
    with pytest.raises(AttributeError, match="evalkit has no 'nothing'; there are: AuditResult"):
        ek.nothing  # noqa: B018


def test_a_comparison_is_that_of_the_command_line(folder):
    found = ek.load(folder).compare("a", "b", by_category=True)
    told = command(folder, "compare", "a", "b", ".", "--by", "category")
    assert [row["difference"] for row in told["rows"]] == found.frame.difference.tolist()
    assert [row["lower"] for row in told["rows"]] == [
        None if math.isnan(lower) else lower for lower in found.frame.lower.tolist()
    ]
    single = found.frame[(found.frame.protocol == "single") & found.frame.category.isna()]
    assert single.difference.item() == pytest.approx(2.0)
    assert any(
        "a scores higher than b" in said or "a is better than b by 2.000 points" in said for said in found.sentences
    )
    assert "<p>" in found._repr_html_()
    with pytest.raises(ek.UsageError, match="nobody"):
        ek.load(folder).compare("a", "nobody")


def test_a_file_that_is_not_as_it_was_written_is_read_row_by_row(folder):
    path = folder / "own/judgments/judge.single.jsonl"
    whole = ek.load(folder).judgments()
    with path.open("a") as file:
        file.write('{"schema": "evalkit.judgment/1", "key"')
    with pytest.warns(UserWarning, match="dropped an incomplete last line"):
        again = ek.load(folder).judgments()
    assert len(again) == len(whole)
    path.write_text(path.read_text().split("\n")[0] + "\n{}\n")
    with pytest.raises(ek.EvalkitError, match=r"line 2: .*Mend or delete that line"):
        ek.load(folder).judgments()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (r'"scores":\[[\d.]+\]', '"scores":[1.0,2.0]'),
        (r'"scores":\[[\d.]+\]', '"scores":null'),
        ('"error":null', '"error":{"kind":"refused","message":"no"}'),
    ],
)
def test_a_row_that_contradicts_itself_is_no_row(folder, right, wrong):
    path = folder / "own/judgments/judge.single.jsonl"
    path.write_text(re.sub(right, wrong, path.read_text(), count=1))
    with pytest.raises(ek.EvalkitError, match=r"line 1: .*judgment sa0"):
        ek.load(folder).judgments()


def test_rows_of_every_width_and_replaced_ones_in_the_order_stored(folder):
    store = Store(folder, "own")
    log = store.judgments("judge", "mixed")
    log.append(judgment("m1", 1, ("a",), (1.0,), protocol="mixed"))
    log.append(judgment("m2", 2, ("a", "b"), (0.0, 1.0), protocol="mixed"))
    log.append(judgment("m1", 1, ("a",), (4.0,), protocol="mixed"))
    log.append(judgment("m3", 3, ("a", "b", "c"), (1.0, 3.0, 2.0), protocol="mixed"))
    store.close()
    for words in (True, False):
        frame = ek.load(folder / "own/judgments/judge.mixed.jsonl").judgments(words=words)
        assert frame.score.tolist()[1:2] == [4.0]
        assert frame.winner.tolist()[:1] == ["b"]
        assert frame.scores.tolist()[2:] == [(1.0, 3.0, 2.0)]
        assert len(frame) == 3
    assert list(ek.load(folder / "own/judgments/judge.mixed.jsonl").judgments().key) == ["m2", "m1", "m3"]


def test_audits_say_what_the_command_line_says(folder):
    found = ek.load(folder).audit()
    assert len(found.conclusions)
    assert set(found.conclusions.kind) <= {"may", "may not", "unknown"}
    assert found.conclusions.sentence.str.len().min() > 10


@pytest.mark.parametrize("kind", ["ratings", "matrix", "categories", "length"])
def test_plots_are_matplotlib_figures_and_nothing_of_pyplot(folder, kind, tmp_path):
    from matplotlib.figure import Figure

    drawn = ek.load(folder).plot(kind, method=None if kind == "matrix" else {"length": "winrate"}.get(kind, "score"))
    assert isinstance(drawn, Figure)
    assert drawn._repr_png_().startswith(b"\x89PNG")
    drawn.savefig(tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_pyplot_is_never_loaded(folder):
    code = f"""
import sys, evalkit as ek
ek.load({str(folder)!r}).plot()
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_plots_of_comparisons_audits_and_leaderboards(folder):
    results = ek.load(folder)
    assert results.leaderboard().plot()
    assert results.leaderboard("winrate").plot("length")
    assert results.audit().plot("scores")
    assert results.plot("scores")
    assert results.compare("a", "b").plot(number=1)
    assert r"\toprule" in results.audit().to_latex()
    assert r"\toprule" in results.compare("a", "b").to_latex()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"kind": "pie"}, "there is no figure 'pie' of an audit; there are: agreement, ratings, scores"),
        ({"kind": "length", "method": "bt"}, "'length' has no meaning for method 'bt'"),
        ({"kind": "ratings", "number": 2}, "there is 1 such figures, number=2 is none of them"),
        ({"kind": "agreement"}, "this audit has no figure 'agreement'"),
    ],
)
def test_figures_that_are_not_there_are_told(folder, told, said):
    with pytest.raises(ek.UsageError, match=said):
        ek.load(folder).plot(**told)


def test_cards_from_python(folder, tmp_path):
    results = ek.load(folder)
    card = results.claim("a", protocol="single")
    assert ek.verify(card, folder)
    assert ek.verify(card.save(tmp_path / "card.json"), folder).holds
    assert [one.facts.protocol for one in results.cite()] == ["pairwise", "single"]


def test_a_bias_of_your_own_is_part_of_an_audit(folder):
    from collections.abc import Iterator
    from dataclasses import dataclass
    from typing import ClassVar

    from evalkit.evidence.findings import Finding
    from evalkit.evidence.metrics import POINTS, SCALE, Metric

    metric = Metric(
        name="my_judgments",
        label="Judgments that were looked at",
        unit=POINTS,
        topic=SCALE,
        question="How many judgments are there?",
        needs="judgments",
    )

    @dataclass(frozen=True)
    class Counts:
        metrics: ClassVar = (metric,)
        times: int = 2

        def findings(self, evidence) -> Iterator[Finding]:
            yield Finding(
                judge=evidence.judge,
                protocol=evidence.protocol,
                benchmark=evidence.benchmark,
                measure=metric,
                estimate=float(self.times),
                n=1,
                sentence="Counted.",
            )

    found = ek.load(folder).audit(biases=[Counts(times=7)]).findings
    assert found[found.metric == "my_judgments"].estimate.unique().tolist() == [7.0]
    assert "my_judgments" not in set(ek.load(folder).audit().findings.metric)


def test_what_is_no_bias_is_told(folder):
    with pytest.raises(ek.UsageError, match="is no bias: it has no method `findings`"):
        ek.load(folder).audit(biases=["position"])
