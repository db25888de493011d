"""Public data that nobody here made: counts others published, and files that come back as they were."""

import json
import re
from collections import Counter, defaultdict

import pytest

from evalkit import interop
from evalkit.core.protocols import Completion
from evalkit.core.schema import Failure, Item, Judgment, Response
from evalkit.interop import alpaca_eval
from evalkit.interop.exporting import export_results
from evalkit.interop.importing import import_results
from evalkit.judges.alpaca_eval import weighted_preference
from evalkit.judges.fastchat import published_rating
from evalkit.storage.results import answer_logs, judgment_logs
from tests.interop.files import canonical, load
from tests.shared_data import shared_data


def read(name, path):
    return [row.record for row in interop.load(name).read(path)]


def judged(rows, **wanted):
    found = (row for row in rows if isinstance(row, Judgment))
    return [row for row in found if all(getattr(row, field) == value for field, value in wanted.items())]


def there_and_back(name, source, tmp_path):
    import_results(name, source, tmp_path / "results")
    export_results(name, [tmp_path / "results"], tmp_path / "out")
    return tmp_path / "out"


def same_rows(one, other):
    assert canonical(load(one)) == canonical(load(other))


def same_order(one, other):
    rows = [[json.dumps(row, sort_keys=True) for row in load(path)] for path in (one, other)]
    assert rows[0] == rows[1]


# FastChat


def winner(row):
    """Name of the better model, or None for a tie."""
    return None if row.scores[0] == row.scores[1] else row.models[row.scores.index(max(row.scores))].name


def test_votes_agree_as_published():
    rows = read("fastchat", shared_data("mtbench_votes"))
    people = judged(rows, protocol="human_pair")
    gpt4 = judged(rows, protocol="fastchat_pair_aggregated")
    assert (len(people), len(gpt4)) == (3355, 2400)
    labels = Counter(row.label for row in gpt4)
    assert (labels["tie (inconsistent)"], labels["tie"]) == (380, 220)
    assert {row.judge.fingerprint for row in people} == {"human"}
    assert {row.judge.name for row in gpt4} == {"gpt4_pair"}
    assert {row.benchmark for row in rows} == {"mtbench"}
    assert Counter(row.category for row in gpt4) == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 300
    )
    verdict = {(row.item, row.turn, frozenset(row.models)): winner(row) for row in gpt4}
    counted = defaultdict(lambda: [0, 0])
    for row in people:
        key = (row.item, row.turn, frozenset(row.models))
        if row.judge.name.startswith("expert") and key in verdict:
            for setup in ("S1", "S2") if winner(row) and verdict[key] else ("S1",):
                counted[row.turn, setup][0] += winner(row) == verdict[key]
                counted[row.turn, setup][1] += 1
    assert dict(counted) == {
        (1, "S1"): [886, 1343],
        (1, "S2"): [727, 859],
        (2, "S1"): [871, 1325],
        (2, "S2"): [731, 864],
    }


def test_votes_know_the_answers_they_are_about():
    rows = read("fastchat", shared_data("mtbench_votes"))
    texts = {row.id: row.turns for row in rows if isinstance(row, Response)}
    assert len(texts) == 465
    known = [row for row in judged(rows) if row.lengths]
    assert len(known) > 5000
    for row in known:
        assert row.lengths == tuple(len(texts[shown][row.turn - 1]) for shown in row.shown)
    assert all(any(shown not in texts for shown in row.shown) for row in judged(rows) if not row.lengths)


@pytest.mark.slow
def test_votes_and_answers_come_back(tmp_path):
    source = shared_data("mtbench_votes")
    out = there_and_back("fastchat", source, tmp_path) / "mt_bench"
    for name in ("human", "gpt4_pair"):
        same_rows(source / f"{name}.jsonl", out / "votes" / f"{name}.jsonl")
    for file in (source / "model_answer").iterdir():
        same_order(file, out / "model_answer" / file.name)
    (beside,) = (tmp_path / "results").rglob("foreign/*.jsonl")
    extras = [row["extra"] for row in load(beside)]
    assert (
        sum("set" in extra for extra in extras) == 465
    )  # the answers' ids; votes need nothing but where they are from
    assert all(set(extra) <= {"source"} for extra in extras if "set" not in extra)


def test_questions_and_references_come_back(tmp_path):
    source = shared_data("fastchat")
    out = there_and_back("fastchat", source, tmp_path)
    for bench in ("mt_bench", "vicuna_bench"):
        same_order(source / bench / "question.jsonl", out / bench / "question.jsonl")
    for name in ("gpt-4", "gpt-4-0125-preview_pr3158"):
        path = ("mt_bench", "reference_answer", f"{name}.jsonl")
        same_order(source.joinpath(*path), out.joinpath(*path))
    summary = import_results("fastchat", source, tmp_path / "again")
    assert (summary.benchmarks, summary.read) == (("mtbench", "vicuna_bench"), {"items": 160})


@pytest.mark.slow
def test_single_ratings_read_again_as_stored(tmp_path):
    source = shared_data("arena_bench_v1")
    rows = read("fastchat", source)
    assert len(rows) == len(judged(rows, protocol="fastchat_single")) == 1200
    failed = [row for row in rows if row.error]
    assert Counter(row.error.kind for row in failed) == {"unparsed": 7}
    assert all(row.raw for row in failed)
    own = [row for row in rows if row.parser == "fastchat-rating/1"]
    assert len(own) >= 1190
    for row in own:
        again = published_rating(Completion(row.raw))
        assert isinstance(again, Failure) if row.error else again.scores == row.scores
    out = there_and_back("fastchat", source, tmp_path)
    exported = [path for path in out.rglob("*.jsonl")]
    assert sum((canonical(load(path)) for path in exported), Counter()) == sum(
        (canonical(load(path)) for path in source.iterdir()), Counter()
    )


# AlpacaEval


@pytest.mark.slow
def test_every_stored_completion_reads_again_as_its_preference():
    folder = shared_data("alpacaeval", "weighted_alpaca_eval_gpt4_turbo")
    rows = read("alpaca_eval", folder)
    instructions = {row.id: row.turns[0] for row in rows if isinstance(row, Item)}
    with_text = [row for row in judged(rows) if row.raw]
    assert len(judged(rows)) == 7241
    assert len(with_text) == 7241 - 805 - 19  # one model's are not stored; equal outputs are not asked about
    assert all(row.lengths for row in judged(rows))
    shown_first = Counter()
    for row in with_text:
        logprobs = alpaca_eval.verdict_logprobs(json.loads(row.raw))
        assert logprobs == row.logprobs
        assert weighted_preference(Completion("", logprobs=(logprobs,))).scores == pytest.approx(row.scores, abs=1e-9)
        switched = row.models[1].name == "gpt4_1106_preview"
        assert switched == alpaca_eval.switched(instructions[row.item])
        shown_first[switched] += 1
    assert min(shown_first.values()) > 3000


@pytest.mark.slow
def test_win_rates_are_as_published():
    folder = shared_data("alpacaeval", "weighted_alpaca_eval_gpt4_turbo")
    expected = json.loads(shared_data("alpacaeval", "expected.json").read_text())
    published = re.findall(r'"win_rate": ([0-9.]+)', json.dumps(expected))
    means = []
    for model in sorted(folder.iterdir()):
        rows = judged(read("alpaca_eval", model))
        wins = [row.scores[1 - [m.name for m in row.models].index("gpt4_1106_preview")] for row in rows]
        means.append(100 * sum(wins) / len(wins))
    assert len(means) == 9
    assert published, list(expected)
    for value in published:
        assert any(abs(float(value) - mean) < 1e-8 for mean in means), value


@pytest.mark.slow
@pytest.mark.parametrize("model", ["alpaca-7b_concise", "NullModel", "FuseChat-Llama-3.2-1B-Instruct"])
def test_annotations_come_back(model, tmp_path):
    source = shared_data("alpacaeval", "weighted_alpaca_eval_gpt4_turbo", model)
    out = there_and_back("alpaca_eval", source, tmp_path)
    (annotations,) = out.rglob("annotations.json")
    same_order(source / "annotations.json", annotations)
    outputs = {row["instruction"]: row["output"] for row in load(annotations.parents[1] / "model_outputs.json")}
    assert outputs == {row["instruction"]: row["output_2"] for row in load(annotations)}
    stored = sum(path.stat().st_size for path in (tmp_path / "results").rglob("*") if path.is_file())
    assert stored < 2.5 * (source / "annotations.json").stat().st_size


# Arena-Hard


def test_arena_hard_comes_back(tmp_path):
    source = shared_data("arena_hard")
    out = there_and_back("arena_hard", source, tmp_path) / "arena_hard"
    same_order(source / "question.jsonl", out / "question.jsonl")
    for file in (source / "model_answer").iterdir():
        same_order(file, out / "model_answer" / file.name)
    assert sum(len(log) for log in answer_logs([tmp_path / "results"])) == 1500


# read-only formats


@pytest.mark.parametrize("judge", ["GPT-4", "ChatGPT"])
@pytest.mark.parametrize("method", ["Vanilla", "Swap"])
def test_llmbar_statistics(judge, method):
    folder = shared_data("llmbar", "Natural", judge, method)
    rows = read("llmbar", folder)
    gold = {row.item: winner(row) for row in judged(rows, judge=judged(rows, protocol="gold")[0].judge)}
    plain, swapped = {}, {}
    for row in judged(rows, protocol=f"llmbar_{method.lower()}"):
        assert row.judge.name == judge
        (plain if row.models[0].name == "output_1" else swapped)[row.item] = winner(row)
    n = len(gold)
    counts = {
        "correct_False": sum(plain[item] == gold[item] for item in gold),
        "correct_True": sum(swapped[item] == gold[item] for item in gold),
        "correct_both": sum(plain[item] == swapped[item] == gold[item] for item in gold),
        "equal": sum(plain[item] == swapped[item] for item in gold),
    }
    published = json.loads((folder / "statistics.json").read_text())
    assert {name: f"{count} / {n} = {100 * count / n:.1f}%" for name, count in counts.items()} == {
        name: published[name] for name in counts
    }
    assert {row.category for row in rows} == {"Natural"}


def test_llmbar_folders_share_their_items():
    rows = read("llmbar", shared_data("llmbar"))
    kinds = Counter(type(row) for row in rows)
    assert (kinds[Item], kinds[Response], kinds[Judgment]) == (100, 200, 100 + 4 * 200)


def test_judgebench_scores():
    rows = read("judgebench", shared_data("judgebench"))
    side = {1.0: 1, 0.0: -1, 0.5: 0}
    gold = {row.item: (row.shown[0], side[row.scores[0]]) for row in judged(rows, protocol="gold")}
    assert len(gold) == 350
    points = defaultdict(list)
    for row in judged(rows, protocol="judgebench_arena_hard"):
        first, better = gold[row.item]
        points[row.item].append(side[row.scores[0]] * better * (1 if row.shown[0] == first else -1))
    assert {len(both) for both in points.values()} == {2}
    assert round(100 * sum(sum(both) > 0 for both in points.values()) / 350, 2) == 65.71
    assert sum(one != other for one, other in points.values()) == 110
    rewards = defaultdict(dict)
    for row in judged(rows, protocol="judgebench_reward_model"):
        assert len(row.shown) == 1
        rewards[row.item][row.shown[0]] = row.scores[0]
    right = 0
    for item, (first, better) in gold.items():
        ours = rewards[item].pop(first)
        (other,) = rewards[item].values()
        right += (ours - other) * better > 0
    assert round(100 * right / 350, 2) == 62.29  # Skywork 8B, as JudgeBench publishes it


def test_prd_position_counts():
    rows = read("prd", shared_data("prd_vicuna80"))
    assert Counter(type(row) for row in rows)[Response] == 400
    for judge, first, last in (("gpt4", 237, 12), ("claude", 74, 287)):
        verdicts = defaultdict(dict)
        for row in judged(rows, protocol="prd_pair"):
            if row.judge.name == judge:
                assert row.lengths
                verdicts[row.item, frozenset(row.models)][row.models[0].name] = winner(row)
        assert len(verdicts) == 800
        biased = Counter()
        for shown in verdicts.values():
            # 2 for a win of the model shown first, 0 for one of the last, over both orders
            places = [1 if best is None else 2 * (best == leading) for leading, best in shown.items()]
            biased[(sum(places) > 2) - (sum(places) < 2)] += 1
        assert (biased[1], biased[-1]) == (first, last)
    people = judged(rows, protocol="human_pair")
    assert len(people) == 7040
    assert {row.judge.name for row in people} == {"human_1", "human_2", "human_3"}


def test_llmfao():
    source = shared_data("llmfao", "llmfao.csv")
    rows = read("battles", source)
    assert len(rows) == 8931
    assert Counter(row.scores for row in rows) == {(1.0, 0.0): 2911, (0.0, 1.0): 2549, (0.5, 0.5): 3471}
    assert len({model.name for row in rows for model in row.models}) == 59
    assert len({row.judge for row in rows}) == 124
    assert {row.protocol for row in rows} == {"human_pair"}
    assert len({row.item for row in rows}) == 13
    assert len({row.key for row in rows}) == 8931


@pytest.mark.slow
def test_llmfao_has_more_judges_than_open_files(tmp_path):
    import resource

    source = shared_data("llmfao", "llmfao.csv")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        out = there_and_back("battles", source, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(judgment_logs([tmp_path / "results"])) == 124
    same_rows(source, out / "llmfao.jsonl")
