import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.agreement import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from evalkit.stats.errors import NotMeasurable
from tests.shared_data import shared_data

# Krippendorff 2011, example C: four observers, twelve units, missing data.
UNITS = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
]  # fmt: skip
# Fleiss 1971 as in Wikipedia: 10 subjects, 14 raters, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize(("scale", "expected"), [("nominal", 0.743421), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_canonical(scale, expected):
    got = krippendorff_alpha(UNITS, scale=scale)
    assert got.estimate == pytest.approx(expected, abs=5e-7 if scale == "nominal" else 1e-3)
    assert (got.n, got.clusters) == (40, 11)
    assert got.lower < got.estimate < got.upper


def test_fleiss_textbook():
    got = fleiss_kappa(np.array(FLEISS))
    assert got.estimate == pytest.approx(0.210, abs=5e-4)
    assert (got.n, got.clusters) == (140, 10)
    assert got.lower < got.estimate < got.upper


def test_cohen_textbook():
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    got = cohen_kappa(first, second)
    assert got.estimate == pytest.approx(0.4)
    assert got.standard_error == pytest.approx(0.1273, abs=0.01)  # the large-sample formula


def votes(file):
    rows = [json.loads(line) for line in shared_data("mtbench_votes", file).read_text().splitlines()]
    found = {}
    for row in rows:
        swap = row["model_a"] > row["model_b"]
        winner = {"model_a": "AB"[swap], "model_b": "BA"[swap]}.get(row["winner"], "tie")
        key = (row["question_id"], row["turn"], *sorted((row["model_a"], row["model_b"])))
        found.setdefault(key, []).append((row["judge"], winner))
    return found


@pytest.mark.parametrize(("turn", "s1", "s2"), [(1, (886, 1343), (727, 859)), (2, (871, 1325), (731, 864))])
def test_mtbench_gpt4_and_humans(turn, s1, s2):
    human, gpt4 = votes("human.jsonl"), votes("gpt4_pair.jsonl")
    pairs = [
        (gpt4[key][0][1], label, key[0])
        for key, given in human.items()
        for judge, label in given
        if key[1] == turn and key in gpt4 and judge.startswith("expert")
    ]
    judge, person, question = (list(column) for column in zip(*pairs, strict=True))
    got = agreement(judge, person, clusters=np.array(question))
    assert (got.agree, got.total) == s1
    assert got.clustered.standard_error > 1.2 * got.wilson.standard_error
    decided = [(j, p) for j, p in zip(judge, person, strict=True) if "tie" not in (j, p)]
    got = agreement(*zip(*decided, strict=True))
    assert (got.agree, got.total) == s2
    assert got.clustered is None


def test_mtbench_alpha_of_experts_and_of_all():
    human = votes("human.jsonl")

    def alpha(keep):
        units = [[label for judge, label in given if keep(judge)] for given in human.values()]
        return krippendorff_alpha(units, clusters=np.array([key[0] for key in human]), resamples=100).estimate

    assert alpha(lambda judge: judge.startswith("expert")) == pytest.approx(0.467, abs=6e-4)
    assert alpha(lambda judge: True) == pytest.approx(0.485, abs=6e-4)


def test_mtbench_kappa():
    human, gpt4 = votes("human.jsonl"), votes("gpt4_pair.jsonl")
    rows = [
        (gpt4[key][0][1], label)
        for key, given in human.items()
        for judge, label in given
        if key in gpt4 and judge.startswith("expert")
    ]
    decided = [row for row in rows if "tie" not in row]
    assert cohen_kappa(*zip(*rows, strict=True), resamples=50).estimate == pytest.approx(0.476, abs=1e-3)
    assert cohen_kappa(*zip(*decided, strict=True), resamples=50).estimate == pytest.approx(0.692, abs=1e-3)


LABELS = st.lists(st.tuples(*[st.sampled_from("ABC")] * 3), min_size=5, max_size=40).filter(
    lambda rows: len({x for row in rows for x in row}) > 1
)


@given(LABELS, st.permutations("ABC"))
@settings(max_examples=30, deadline=None)
def test_names_of_labels_and_raters_do_not_matter(rows, names):
    rename = dict(zip("ABC", names, strict=True))
    other = [[rename[x] for x in row[::-1]] for row in rows]
    one = krippendorff_alpha(rows, resamples=20).estimate
    assert krippendorff_alpha(other, resamples=20).estimate == pytest.approx(one)
    counts = np.array([[row.count(x) for x in "ABC"] for row in rows])
    # Alpha is Fleiss' kappa with a small-sample correction.
    n = counts.sum()
    assert 1 - one == pytest.approx((1 - fleiss_kappa(counts, resamples=20).estimate) * (n - 1) / n)


def test_three_people_on_vicuna_questions():
    items = {}
    for path in sorted(shared_data("prd_vicuna80", "ratings-human").glob("*.jsonl")):
        one, other = path.name.split("-human-reviewer")[0].removeprefix("answer_").split("-vs-answer_")
        names = [one, other, "tie"]
        for line in path.read_text().splitlines():
            row = json.loads(line)
            key = (*sorted((one, other)), row["question_id"])
            items.setdefault(key, []).append(names[row["score"] - 1] if row["score"] < 3 else "tie")
    thrice = [(key, given) for key, given in items.items() if len(given) == 3]
    counts = np.array([[given.count(x) for x in (*key[:2], "tie")] for key, given in thrice])
    first = [[(key[0] == x) + 2 * (x == "tie") for x in given] for key, given in thrice]
    assert len(counts) == 2240
    clusters = np.array([key[2] for key, _ in thrice])
    kappa = fleiss_kappa(counts, clusters=clusters, resamples=200)
    assert kappa.estimate == pytest.approx(0.184, abs=5e-4)
    alpha = krippendorff_alpha(first, clusters=clusters, resamples=200)
    assert alpha.estimate == pytest.approx(kappa.estimate, abs=1e-3)


def test_missing_is_left_out():
    assert agreement(["A", None, "B"], ["A", "A", None]).total == 1
    assert cohen_kappa(["A", "B", None], ["A", "B", "A"], resamples=50).n == 2


def test_raises():
    with pytest.raises(NotMeasurable, match="both raters"):
        agreement([None], ["A"])
    with pytest.raises(NotMeasurable, match="two labels"):
        cohen_kappa(["A", "A"], ["A", "A"])
    with pytest.raises(NotMeasurable, match="two labels"):
        krippendorff_alpha([["A", "A"], ["A", "A"]])
    with pytest.raises(NotMeasurable, match="2 ratings"):
        krippendorff_alpha([["A", None]])
    with pytest.raises(ValueError, match="numbers"):
        krippendorff_alpha([["A", "B"]], scale="interval")
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa(np.array([[2, 0], [1, 2]]))
    with pytest.raises(NotMeasurable, match="two labels"):
        fleiss_kappa(np.array([[2, 0], [2, 0]]))
    with pytest.raises(ValueError, match="as many items"):
        agreement(["A"], [])
