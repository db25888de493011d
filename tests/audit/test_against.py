"""Judges beside automatic benchmarks: each sentence against a planted truth."""

import json

import numpy as np
import pytest

from evalkit.audit.against import against
from evalkit.audit.analyse import audited
from evalkit.datasets.model_table import ModelTable
from evalkit.evidence.gather import gather
from tests.biases.simulated import scored
from tests.ratings.rows import judged

MODELS = 12


def study(quality, lengths=None, prompts=lambda q: 0.0, models=MODELS, questions=30, noise=0.3, seed=0):
    """Scores of models whose quality, length of answers and weakness on long prompts are planted."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        for m in range(models):
            length = int(1000 + 100 * (0 if lengths is None else lengths[m]) + rng.integers(20))
            score = float(quality(m, q) + prompts(q) + noise * rng.normal())
            rows.append(scored(f"m{m}", score, item=f"q{q}", lengths=(length,), protocol="reward"))
    return rows


def compared(rows, columns, prompts=None):
    """The rows by what they compare."""
    gathered = gather(rows)
    table = ModelTable("t.csv", tuple(next(iter(columns.values()))), columns)
    evidence = gathered[0].evidence[0]
    found = against(evidence, audited(gathered).ratings, table, prompts or {})
    return {(row.first.partition(" by ")[0], row.second, row.fixed, row.within.partition(" ")[0]): row for row in found}


def column(values):
    return {f"m{m}": float(value) for m, value in enumerate(values)}


def test_what_goes_together_is_said_to_and_what_does_not_is_not():
    rng = np.random.default_rng(1)
    columns = {
        "same": column(range(MODELS)),
        "turned": column(-np.arange(MODELS)),
        "noise": column(rng.permutation(MODELS)),
        "near": column(np.arange(MODELS) + 2 * rng.normal(size=MODELS)),
    }
    found = compared(study(lambda m, q: m), columns)
    near, noise = found["ratings", "near", "", ""], found["ratings", "noise", "", ""]
    assert near.rank.lower > 0
    assert "ratings by gpt4 and near go together: rank correlation +" in near.sentence
    assert noise.rank.lower < 0 < noise.rank.upper
    assert "are not shown to go together" in noise.sentence
    assert "rank all alike" in found["ratings", "same", "", ""].sentence
    assert "rank all the other way round" in found["ratings", "turned", "", ""].sentence
    against_it = compared(study(lambda m, q: -m, seed=3), {"near": columns["near"]})["ratings", "near", "", ""]
    assert "go against each other" in against_it.sentence


def test_length_that_both_share_is_taken_out():
    """Ratings and benchmark have nothing in common but that both go with the length of answers."""
    rng = np.random.default_rng(4)
    lengths = rng.normal(0, 3, 40)
    own, other = rng.normal(size=(2, 40))
    found = compared(
        study(lambda m, q: lengths[m] + own[m], lengths, models=40, questions=8), {"arc": column(lengths + other)}
    )
    plain, fixed = found["ratings", "arc", "", ""], found["ratings", "arc", "length of answers", ""]
    assert plain.rank.lower > 0.5
    assert "the length of answers held fixed" in fixed.sentence
    assert fixed.linear.lower < 0 < fixed.linear.upper
    for first in ("ratings", "arc"):
        longer = found[first, "length of answers", "", ""]
        assert longer.rank.lower > 0.5
        assert (
            f"{'ratings by gpt4' if first == 'ratings' else 'arc'} and length of answers go together" in longer.sentence
        )


def test_prompts_that_change_the_ranking_are_told_apart():
    """On short prompts the judge ranks as the benchmark does, on long ones the other way round."""
    sizes = {f"q{q}": 100 + 10 * q for q in range(30)}
    rows = study(lambda m, q: m if q < 15 else -m, noise=2.0)
    found = compared(rows, {"arc": column(range(MODELS))}, sizes)
    short, long = found["ratings", "arc", "", "shorter"], found["ratings", "arc", "", "longer"]
    assert short.rank.estimate > 0.8
    assert long.rank.estimate < -0.8
    assert "on shorter prompts (up to 245 characters), ratings by gpt4 and arc go together" in short.sentence
    assert (
        "on longer prompts (more than 245 characters), ratings by gpt4 and arc go against each other" in long.sentence
    )


def test_scores_that_fall_with_the_prompt_are_found_and_others_are_not():
    sizes = {f"q{q}": 100 + 10 * q for q in range(30)}
    columns = {"arc": column(range(MODELS))}
    harder = compared(study(lambda m, q: m, prompts=lambda q: -0.3 * q, noise=3.0), columns, sizes)
    row = harder["mean scores", "length of prompts", "", ""]
    assert row.rank.upper < 0
    assert row.sentence.startswith("Over 30 questions, mean scores by gpt4 and length of prompts go against each other")
    even = compared(study(lambda m, q: m, noise=3.0), columns, sizes)["mean scores", "length of prompts", "", ""]
    assert even.rank.lower < 0 < even.rank.upper
    assert "are not shown to go together" in even.sentence


def test_few_models_have_no_limits_and_the_sentence_says_so():
    found = compared(study(lambda m, q: m, models=4), {"arc": column([1, 3, 2, 4])})["ratings", "arc", "", ""]
    assert found.rank.lower is None
    assert "whether ratings by gpt4 and arc go together cannot be told from so few" in found.sentence
    assert "needs at least 5 models; with 4" in found.sentence
    five = column([1, 3, 2, 5, 4])
    found = compared(study(lambda m, q: m, models=5, lengths=[3, 1, 2, 5, 4]), {"arc": five, "same": column(range(5))})
    assert "are not shown to go together" in found["ratings", "arc", "", ""].sentence
    assert "rank all alike" in found["ratings", "same", "", ""].sentence
    assert "cannot be told from so few" in found["ratings", "arc", "length of answers", ""].sentence
    two = compared(study(lambda m, q: m, models=2), {"arc": column([1, 3])})["ratings", "arc", "", ""]
    assert two.not_measurable == "needs at least 3 models that have both figures; there are 2"
    assert two.sentence.startswith("How alike ratings by gpt4 and arc are is not measurable: needs")


def test_pairs_have_ratings_too_and_no_mean_scores_by_question():
    rows = []
    rng = np.random.default_rng(0)
    for q in range(20):
        for a in range(7):
            for b in range(a + 1, 7):
                first = rng.random() < 1 / (1 + np.exp(b - a))
                rows.append(judged(f"m{a}", f"m{b}", (1.0, 0.0) if first else (0.0, 1.0), item=f"q{q}", lengths=(9, 9)))
    found = compared(rows, {"arc": column(range(7))}, {f"q{q}": q for q in range(20)})
    assert found["ratings", "arc", "", ""].rank.estimate > 0.7
    assert found["ratings", "arc", "", "longer"].n == 7
    assert not any(second == "length of prompts" for _, second, _, _ in found)


@pytest.fixture
def results(cli, tmp_path):
    rng = np.random.default_rng(0)
    rows = ["question,model,answer,score"]
    for q in range(6):
        for m in range(6):
            rows.append(f"What is {q} and {'so on ' * q}?,org/M-{m},{'word ' * (5 + m)},{3 + m + rng.normal():.2f}")
    (tmp_path / "scores.csv").write_text("\n".join(rows))
    done = cli("import", "table", "scores.csv", "--judge", "rm", "--into", "results")
    assert done.code == 0, done.err
    figures = [f"m-{m},{10 * m + rng.integers(5)},open" for m in (*range(5), 9)]
    (tmp_path / "table.csv").write_text("\n".join(["model,ARC,licence", *figures]))
    return tmp_path


def test_on_the_terminal_in_json_and_on_the_page(cli, results):
    done = cli("audit", "results", "--against", "table.csv")
    assert done.code == 0, done.err
    assert "Beside automatic benchmarks: rm" in done.out
    assert "Over 5 models, ratings by rm and ARC" in done.out
    assert "not in table.csv: 'org/M-5'" in done.err
    assert "in table.csv and not judged: 'm-9'" in done.err
    assert "no figures in 'licence'" in done.err
    data = json.loads(cli("audit", "results", "--against", "table.csv", "--format", "json").out)
    rows = {(row["first"], row["second"], row["fixed"], row["within"]) for row in data["against"]}
    assert ("ratings by rm", "ARC", "", "") in rows
    assert any(second == "length of prompts" for _, second, _, _ in rows)
    page = cli("audit", "results", "--against", "table.csv", "--format", "html").out
    assert "Beside automatic benchmarks" in page
    assert "Over 5 models, ratings by rm and ARC" in page
    assert "against" not in {part for part in cli("audit", "results").out.split() if part == "Beside"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--against", "nowhere.csv"), "nowhere.csv"),
        (("--against", "strangers.csv"), "no model of 'strangers.csv' was judged"),
        (("--against", "table.csv", "--map", "model=who"), "has no such column"),
        (("--against", "table.csv", "--map", "modle=who"), "'modle' is a field of votes, and there are none"),
        (("--against", "scores.csv"), "is there twice"),
    ],
)
def test_mistakes(cli, results, arguments, says):
    (results / "strangers.csv").write_text("model,ARC\nx,1\ny,2\n")
    done = cli("audit", "results", *arguments)
    assert done.code == 2
    assert says in " ".join(done.err.split())
    assert "Traceback" not in done.err
