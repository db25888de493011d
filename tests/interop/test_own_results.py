"""Results that evalkit made itself, as other tools' files: what they can hold arrives, the rest is counted."""

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Item, Judgment, Ref, Response, digest
from evalkit.interop.exporting import export_results
from evalkit.interop.importing import import_results
from evalkit.storage.results import judgment_logs
from evalkit.storage.store import Store
from tests.interop.files import load

ITEM = Item(id="81", benchmark="mtbench", category="writing", turns=("Why?",))
JUDGE = Ref("gpt-4o", "f" * 32)
MODELS = [Ref(name, digest(name)) for name in ("base", "zephyr")]


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path / "results", "mtbench")
    answers = {}
    for model in MODELS:
        row = Response(
            key=digest(model),
            item="81",
            benchmark="mtbench",
            category="writing",
            model=model,
            turns=(f"I, {model.name}",),
        )
        answers[model.name] = row
        store.responses(model.name).append(row)
    failed = Response(
        key="x", item="82", benchmark="mtbench", category="writing", model=MODELS[1], error=Failure("transport", "down")
    )
    store.responses("zephyr").append(failed)

    def judge(protocol, names, verdict, label=None, turn=1, raw="said"):
        row = Judgment(
            key=digest(protocol, names, turn),
            item="81",
            benchmark="mtbench",
            category="writing",
            turn=turn,
            judge=JUDGE,
            protocol=protocol,
            parser="p/1",
            shown=tuple(answers[name].id for name in names),
            models=tuple(answers[name].model for name in names),
            scores=None if isinstance(verdict, Failure) else verdict,
            error=verdict if isinstance(verdict, Failure) else None,
            label=label,
            raw=raw,
            created=12.5,
        )
        store.judgments("gpt-4o", protocol).append(row)

    judge("single", ["zephyr"], (7.25,), "7.25", raw="[[7.25]]")
    judge("single", ["base"], Failure("refused", "no"), raw="I will not")
    judge("pairwise", ["base", "zephyr"], (0.0, 1.0), "B>>A")
    judge("pairwise", ["zephyr", "base"], (0.25, 0.75))
    judge("pairwise", ["base", "zephyr"], (0.5, 0.5), "tie", turn=2)  # the other order is missing
    store.close()
    return tmp_path / "results"


def test_to_fastchat(results, tmp_path):
    written = export_results("fastchat", [results], tmp_path / "out", [ITEM])
    assert written == {
        "questions": 1,
        "answers": 2,
        "judgments": 4,
        "left out: failed answers": 1,
        "left out: judgments of one order only": 1,
    }
    folder = tmp_path / "out" / "mt_bench"
    single = load(folder / "model_judgment" / "gpt-4o_single.jsonl")
    assert [(row["model"], row["score"], row["judgment"]) for row in single] == [
        ("zephyr", 7.25, "[[7.25]]"),
        ("base", -1, "I will not"),
    ]
    (pair,) = load(folder / "model_judgment" / "gpt-4o_pair.jsonl")
    assert [pair[name] for name in ("question_id", "model_1", "model_2", "g1_winner", "g2_winner", "turn")] == [
        81,
        "base",
        "zephyr",
        "model_2",
        "model_1",
        1,
    ]
    back = import_results("fastchat", tmp_path / "out", tmp_path / "back")
    assert (back.benchmarks, back.failed) == (("mtbench",), {"judgments unparsed": 1})
    assert back.read["judgments"] == written["judgments"]
    kept = {(row.protocol, row.turn, row.models[0].name) for log in judgment_logs([tmp_path / "back"]) for row in log}
    assert {protocol for protocol, _, _ in kept} == {"single", "pairwise"}, "not FastChat's, which is rated otherwise"


def test_to_arena_hard(results, tmp_path):
    written = export_results("arena_hard", [results], tmp_path / "out", [ITEM])
    assert written["judgments"] == 2
    assert written["left out: judgments that are not of two answers"] == 2
    (row,) = load(tmp_path / "out" / "mtbench" / "model_judgment" / "gpt-4o" / "zephyr.jsonl")
    assert (row["baseline"], row["model"]) == ("base", "zephyr")
    assert [game["score"] for game in row["games"]] == ["B>>A", "B>A"]
    (answer,) = load(tmp_path / "out" / "mtbench" / "model_answer" / "zephyr.jsonl")
    assert [message["content"] for message in answer["messages"]] == ["Why?", {"answer": "I, zephyr"}]


def test_to_alpaca_eval(results, tmp_path):
    written = export_results("alpaca_eval", [results], tmp_path / "out", [ITEM])
    assert (written["outputs"], written["annotations"], written["left out: failed answers"]) == (2, 2, 1)
    rows = load(tmp_path / "out" / "results" / "zephyr" / "gpt-4o" / "annotations.json")
    assert [row["preference"] for row in rows] == [2.0, 1.25]
    assert {(row["generator_1"], row["output_1"], row["output_2"]) for row in rows} == {
        ("base", "I, base", "I, zephyr")
    }
    with pytest.raises(UsageError, match="cannot export item '81' of 'mtbench': its text is unknown"):
        export_results("alpaca_eval", [results], tmp_path / "out")


def test_to_battles(results, tmp_path):
    written = export_results("battles", [results], tmp_path / "out")
    assert (written["battles"], written["rounded: soft preferences"]) == (3, 1)
    rows = load(tmp_path / "out" / "mtbench.jsonl")
    assert [(row["model_a"], row["winner"]) for row in rows] == [
        ("base", "model_b"),
        ("zephyr", "model_b"),
        ("base", "tie"),
    ]


def test_a_folder_that_cannot_be_written(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write '.*file/mtbench.jsonl': (File exists|Not a directory)"):
        export_results("battles", [results], tmp_path / "file")
