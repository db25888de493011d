"""``evalkit run preferences``: judges put to sets with labels, in both orders, and to nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import labelled_sets
from evalkit.datasets.artifacts import registry
from evalkit.interop import formats
from tests.interop.files import save


def pairs(folder, n=6):
    rows = (
        {"prompt": f"q {i}?", "chosen": f"good {i}", "rejected": f"bad {i}", "subset": "ab"[i % 2]} for i in range(n)
    )
    save(folder / "pairs.jsonl", rows)
    return f"questions={folder / 'pairs.jsonl'}"


def judged(folder, name="pairs", judge="fake.pairwise"):
    lines = (folder / "results" / name / "judgments" / f"{judge}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_pair_is_judged_in_both_orders_and_the_board_is_left(cli, tmp_path):
    done = cli("run", "preferences", pairs(tmp_path), "judge=fake")
    assert done.code == 0
    assert "pairs: one judge only: fake (" in done.out + done.err
    rows = judged(tmp_path)
    assert len(rows) == 12
    assert {tuple(model["name"] for model in row["models"]) for row in rows} == {
        ("chosen", "rejected"),
        ("rejected", "chosen"),
    }
    (data,) = (tmp_path / "results" / "pairs" / "runs").glob("*/judges.json")
    board = json.loads(data.read_text())
    assert board["tables"][0]["rows"][0]["judge"] == "fake"
    assert "<svg" in data.with_suffix(".html").read_text()
    again = cli("run", "preferences", pairs(tmp_path), "judge=fake")
    assert again.code == 0
    assert len(judged(tmp_path)) == 12
    assert cli("judges", "results").out.startswith("pairs: one judge only: fake (")


def test_of_best_of_n_only_labelled_pairs_meet_and_limit_counts_questions(cli, tmp_path):
    row = {"prompt": "q?", "chosen": ["r1", "r2"], "rejected": ["w1", "w2", "w3"], "subset": "Ties"}
    save(tmp_path / "best.jsonl", ({**row, "id": str(i), "prompt": f"q{i}?"} for i in range(3)))
    done = cli("run", "preferences", f"questions={tmp_path / 'best.jsonl'}", "judge=fake", "limit=2")
    assert done.code == 0
    rows = judged(tmp_path, "best")
    assert len(rows) == 2 * 6 * 2
    assert all({model["name"].split()[0] for model in row["models"]} == {"chosen", "rejected"} for row in rows)


def test_single_grading_makes_best_of_n_of_the_scores(cli, tmp_path):
    save(tmp_path / "best.jsonl", ({"prompt": f"q{i}?", "chosen": ["r"], "rejected": ["w", "x"]} for i in range(4)))
    done = cli("run", "preferences", f"questions={tmp_path / 'best.jsonl'}", "judge=fake", "protocol=single")
    assert done.code == 0
    assert len(judged(tmp_path, "best", "fake.single")) == 12
    assert "best, best of 3: one judge only: fake" in " ".join((done.out + done.err).split())


def test_two_answers_of_one_model_meet(cli, tmp_path):
    row = {
        "source": "maths",
        "response_model": "m",
        "label": "A>B",
        "response_A": "yes",
        "response_B": "no",
    }
    save(tmp_path / "jb.jsonl", ({**row, "pair_id": f"p{i}", "question": f"q{i}?"} for i in range(3)))
    assert cli("run", "preferences", f"questions={tmp_path / 'jb.jsonl'}", "judge=fake").code == 0
    assert len(judged(tmp_path, "jb")) == 6


def test_only_the_last_answer_of_a_conversation_is_judged(cli, tmp_path):
    said = "\n\nHuman: a?\n\nAssistant: b\n\nHuman: c?\n\nAssistant: "
    save(tmp_path / "talk.jsonl", ({"chosen": f"{said}good {i}", "rejected": f"{said}bad {i}"} for i in range(1)))
    assert cli("run", "preferences", f"questions={tmp_path / 'talk.jsonl'}", "judge=fake").code == 0
    assert [row["turn"] for row in judged(tmp_path, "talk")] == [2, 2]


def test_a_dry_run_asks_nothing(cli, tmp_path):
    done = cli("run", "preferences", pairs(tmp_path), "judge=fake", "dry_run=true")
    assert done.code == 0
    assert "12" in done.out + done.err
    assert not (tmp_path / "results" / "pairs" / "judgments" / "fake.pairwise.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("judge=fake",), "needs questions=..., as questions=llmbar"),
        (("questions=llmbar",), "needs judge=..."),
        (("questions=nothing", "judge=fake"), "no such file, and no labelled set of this name"),
        (("questions=llmbarr", "judge=fake"), "Did you mean 'llmbar'?"),
        (("questions=hub:a/b", "judge=fake"), "hub:OWNER/NAME@REVISION/PATH"),
        (("questions=hub:a/b@main/x.parquet", "judge=fake"), "40 digits"),
        (("questions=llmbar", "judge=fake", "model=gpt4"), "no model is asked"),
        (("questions=llmbar", "judge=fake", "baseline=x"), "the labels say which answers meet"),
        (("-m", "questions=llmbar", "judge=fake"), "judge=a,b"),
    ],
)
def test_a_mistake_says_what_to_do(cli, arguments, said):
    ended = cli("run", "preferences", *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_scores_without_solutions_cannot_be_judged(cli, tmp_path):
    save(tmp_path / "rm.json", [{"problem": "p", "solution_reference": ["a"], "score": [1.0]}])
    ended = cli("run", "preferences", f"questions={tmp_path / 'rm.json'}", "judge=fake")
    assert ended.code == 2
    assert "without the solutions" in ended.err


def test_every_named_set_has_pinned_files_and_a_format():
    for known in labelled_sets.labelled_sets().values():
        assert known.format in formats()
        assert known.licence
        assert set(known.files.values()) <= registry().keys()
        if known.hub is not None:
            assert (known.hub.revision is None) == bool(known.hub.unpinned)


@pytest.mark.parametrize("name", ["rewardmath", "summarize", "helpsteer"])
def test_a_set_of_the_hub_without_a_known_revision_asks_for_one(cli, name):
    ended = cli("run", "preferences", f"questions={name}", "judge=fake")
    assert ended.code == 2
    repo = labelled_sets.labelled_sets()[name].hub.repo
    assert f"questions=hub:{repo}@REVISION/PATH" in ended.err
    assert "no revision of it is pinned" in ended.err


SHP = {
    "post_id": "x",
    "domain": "askvet_validation",
    "history": "q?",
    "human_ref_A": "a",
    "human_ref_B": "b",
    "labels": 0,
}


def test_a_pinned_set_of_the_hub_is_all_its_files_at_its_revision(cli, tmp_path, monkeypatch):
    from contextlib import contextmanager

    from evalkit.datasets.downloads import Hub

    asked = set()

    @contextmanager
    def opened(self, work, watch):
        asked.add((self.repo, self.revision, self.path))
        (work / "x").write_text(
            json.dumps(SHP | {"history": f"{self.path}?", "domain": self.path.split("/")[0]}) + "\n"
        )
        with (work / "x").open("rb") as file:
            yield file

    monkeypatch.setattr(Hub, "open", opened)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    done = cli("run", "preferences", "questions=shp", "judge=fake")
    assert done.code == 0, done.err
    hub = labelled_sets.labelled_sets()["shp"].hub
    assert asked == {(hub.repo, hub.revision, path) for path in hub.paths}
    assert len(judged(tmp_path, "shp")) == 2 * len(hub.paths)


def test_rewardmaths_solutions_are_judged_beside_its_published_scores(cli, tmp_path):
    rows = [
        {"problem": "2+2?", "eval_solution": [text], "solution_type": kind, "solution_reference": by}
        for text, kind, by in (("4.", "chosen", "h"), ("5.", "rejected", "m"), ("6.", "rejected", "n"))
    ]
    save(tmp_path / "rewardmath.json", rows)
    save(tmp_path / "rm_reward.json", [{"problem": "2+2?", "solution_reference": ["h", "m", "n"], "score": [3, 1, 2]}])
    assert cli("import", "rewardmath", "rm_reward.json", "--into", "results").code == 0
    assert cli("run", "preferences", "questions=rewardmath.json", "judge=fake", "protocol=single").code == 0
    board = json.loads(cli("judges", "results", "--format", "json").out)
    (best,) = [table for table in board["tables"] if table["measure"] == "best of n"]
    assert {row["judge"] for row in best["rows"]} == {"rm", "fake"}
    (pairs,) = [table for table in board["tables"] if table["measure"] == "pairs"]
    assert pairs["labels"] == 2  # the labels of both imports are the same


def test_a_named_set_is_laid_out_as_its_format_reads_it(cli, tmp_path, monkeypatch):
    content = json.dumps([{"input": "q?", "output_1": "a", "output_2": "bb", "label": 1}]).encode()
    known = labelled_sets.labelled_sets()["llmbar"]
    pinned = {
        name: type(entry)(
            name=entry.name, file=entry.file, sha256=hashlib.sha256(content).hexdigest(), sources=entry.sources
        )
        for name, entry in registry().items()
        if name in known.files.values()
    }
    monkeypatch.setattr("evalkit.datasets.artifacts.registry", lambda: pinned)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EVALKIT_ARTIFACTS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    for entry in pinned.values():
        (tmp_path / "own" / entry.file).write_bytes(content)
    assert cli("run", "preferences", "questions=llmbar", "judge=fake").code == 0
    assert {row["category"] for row in judged(tmp_path, "llmbar")} <= {
        "Natural",
        "Neighbor",
        "GPTInst",
        "GPTOut",
        "Manual",
    }


def test_a_file_on_the_hub_is_kept_at_its_revision(tmp_path, monkeypatch):
    import asyncio
    from contextlib import contextmanager

    from evalkit.datasets.downloads import Hub

    asked = []

    @contextmanager
    def opened(self, work, watch):
        asked.append((self.repo, self.repo_type, self.revision, self.path))
        (work / "x").write_bytes(b"content")
        with (work / "x").open("rb") as file:
            yield file

    monkeypatch.setattr(Hub, "open", opened)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path))
    which = f"hub:allenai/reward-bench-2@{'a' * 40}/data/test.parquet"
    found = [asyncio.run(labelled_sets.find_set(which)) for _ in range(2)]
    assert asked == [("allenai/reward-bench-2", "dataset", "a" * 40, "data/test.parquet")]
    assert found[0] == found[1]
    assert found[0].name == "reward-bench-2"
    assert found[0].path.read_bytes() == b"content"
    with pytest.raises(UsageError, match="is no file on the hub"):
        asyncio.run(labelled_sets.find_set(f"hub:a/b@{'a' * 40}/../../x"))
