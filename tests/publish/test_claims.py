"""A claim card holds on the rows it was made of, wherever they are, and on no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

import evalkit as ek
from evalkit.core.schema import Ref
from evalkit.publish.claim_card import ClaimCard, claim, read_card
from evalkit.publish.verification import verify
from evalkit.storage.store import Store
from tests.publish import planted


def single(folder: Path, **more) -> ClaimCard:
    return claim("a", [planted.singles(folder)], **more)


def changed(folder: Path, old: str, new: str, pattern: str = "own/*/*.jsonl") -> None:
    """Replace a text in all files, once each; somewhere it must be there."""
    found = [path for path in folder.glob(pattern) if old in path.read_text()]
    assert found
    for path in found:
        path.write_text(path.read_text().replace(old, new, 1))


def what(folder: Path, card: ClaimCard, **more) -> set[str]:
    return {one.what for one in verify(card, [folder], **more).differences}


def test_a_card_says_the_number_of_the_leaderboard(tmp_path):
    card = single(tmp_path)
    row = ek.load(tmp_path).leaderboard().frame.set_index("model").loc["a"]
    assert (card.number.estimate, card.number.lower, card.number.upper) == (row.score, row.lower, row.upper)
    assert card.number.estimate == 8.0
    assert card.judge.prompts == "f" * 32
    assert card.judge.model == "strict-latest"
    assert card.judge.snapshots == ("strict-2026-01",)
    assert card.data == {"questions.jsonl": "d" * 64}
    assert (card.judgments.n, card.answers.n, card.questions.n) == (24, 24, 12)
    assert "a has the score 8 (95% interval" in card.sentence


def test_a_card_holds_on_its_rows_anywhere_in_any_order(tmp_path):
    card = single(tmp_path / "here")
    path = card.save(tmp_path / "card.json")
    assert read_card(path) == card
    moved = tmp_path / "there"
    shutil.move(tmp_path / "here", moved)
    for file in moved.glob("own/judgments/*.jsonl"):
        file.write_text("".join(sorted(file.read_text().splitlines(keepends=True))))
    found = verify(path, [moved])
    assert found.holds
    assert bool(found)


def test_judgments_of_other_models_and_configurations_change_nothing(tmp_path):
    card = single(tmp_path)
    store = Store(tmp_path, "own", durable=False)
    row = planted.judgment(1, "a", (1.0,), key="other", judge=Ref("strict", "n" * 32))
    store.judgments("strict", "single").append(row)
    stranger = msgspec.structs.replace(planted.judgment(1, "a", (1.0,), key="c"), models=(Ref("c", "c" * 32),))
    store.judgments("strict", "single").append(stranger)
    store.close()
    assert verify(card, [tmp_path]).holds


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('"scores":[8.0]', '"scores":[9.0]', {"judgments.sha256", "number.estimate"}),
        ('"raw":"[[(8.0,)]]"', '"raw":"[[(1.0,)]]"', {"judgments.sha256"}),
        ("answer 4 of a", "answer 4 of A", {"answers.sha256"}),
    ],
)
def test_changed_rows_are_refused_by_name(tmp_path, old, new, names):
    card = single(tmp_path)
    changed(tmp_path, old, new)
    assert names <= what(tmp_path, card)


def test_a_row_that_is_gone_is_missed(tmp_path):
    card = single(tmp_path)
    path = next(tmp_path.glob("own/judgments/*.jsonl"))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert {"judgments.n", "judgments.sha256", "number.questions"} <= what(tmp_path, card)


def test_a_changed_question_is_refused(tmp_path):
    card = single(tmp_path)
    changed(tmp_path, "question 4", "question 5", "own/items.jsonl")
    assert "questions.sha256" in what(tmp_path, card)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("f" * 32, "0" * 32, "judge.prompts"),
        ("strict-latest", "lenient", "judge.model"),
        ("d" * 64, "0" * 64, "data.questions.jsonl"),
    ],
)
def test_another_judge_prompt_or_data_in_the_manifest_is_refused(tmp_path, old, new, name):
    card = single(tmp_path)
    changed(tmp_path, old, new, "own/runs/*/manifest.json")
    assert what(tmp_path, card) == {name}


def test_a_judge_in_another_configuration_is_another_judge(tmp_path):
    card = single(tmp_path)
    for path in tmp_path.glob("own/judgments/*.jsonl"):
        path.write_text(path.read_text().replace("j" * 32, "k" * 32))
    (one,) = verify(card, [tmp_path]).differences
    assert one.what == "claim"
    assert "no judgments of strict (configuration jjjjjjjjjjjj" in one.sentence()


TAMPERED = [
    ("number", "estimate", 9.5, "number.estimate"),
    ("number", "lower", 7.9, "number.lower"),
    ("number", "failed", {"unparsed": 5}, "number.failed.unparsed"),
    ("judge", "prompts", "0" * 32, "judge.prompts"),
    ("judge", "model", "lenient", "judge.model"),
    ("judgments", "n", 25, "judgments.n"),
    ("audit", "may", ("All is well.",), "audit.may"),
]


@pytest.mark.parametrize(("part", "field", "value", "name"), TAMPERED)
def test_a_changed_card_is_refused_even_with_a_new_seal(tmp_path, part, field, value, name):
    card = single(tmp_path)
    inner = msgspec.structs.replace(getattr(card, part), **{field: value})
    forged = msgspec.structs.replace(card, **{part: inner})
    assert {name, "seal (the card was changed after it was made)"} <= what(tmp_path, forged)
    assert what(tmp_path, forged.sealed()) == {name}


def test_a_changed_version_or_sentence_breaks_the_seal(tmp_path):
    card = single(tmp_path)
    assert what(tmp_path, msgspec.structs.replace(card, evalkit="9")) == {
        "seal (the card was changed after it was made)"
    }
    assert "sentence" in what(tmp_path, msgspec.structs.replace(card, sentence="a is the best.").sealed())


def test_another_release_is_a_note_and_no_difference(tmp_path):
    card = msgspec.structs.replace(single(tmp_path), evalkit="0.0.1").sealed()
    found = verify(card, [tmp_path])
    assert found.holds
    assert any("made with evalkit 0.0.1" in note for note in found.notes)


def test_a_difference_of_two_models(tmp_path):
    card = single(tmp_path, over="b")
    assert card.claim.method == "difference"
    assert card.number.estimate == pytest.approx(1.0)
    assert card.sentence.startswith(
        "On own, by strict (single): No difference was found between a and b: +1.000 points"
    )
    assert verify(card, [tmp_path]).holds
    changed(tmp_path, '"scores":[8.0]', '"scores":[9.0]')
    assert "number.estimate" in what(tmp_path, card)


def test_pairs_categories_and_methods(tmp_path):
    planted.pairs(tmp_path)
    for choices in ({}, {"method": "winrate"}, {"method": "elo"}, {"category": "c0"}):
        card = claim("a", [tmp_path], **choices)
        assert verify(card, [tmp_path]).holds, choices
    assert card.claim.category == "c0"


def test_votes_of_people_belong_to_the_card(tmp_path):
    planted.pairs(tmp_path)
    votes = tmp_path / "votes.csv"
    lines = [f"q{number},1,a,b,model_a,x{number % 3}" for number in range(12)]
    votes.write_text("\n".join(["item,turn,model_a,model_b,winner,annotator", *lines]))
    card = claim("a", [tmp_path / "own"], human=votes)
    assert card.audit.human
    assert verify(card, [tmp_path / "own"], human=votes).holds
    with pytest.raises(ek.UsageError, match="--human FILE"):
        verify(card, [tmp_path / "own"])
    votes.write_text(votes.read_text().replace("q4,1,a,b,model_a", "q4,1,a,b,model_b"))
    assert "audit.human" in what(tmp_path / "own", card, human=votes)


def test_what_is_not_clear_or_not_there_is_told(tmp_path):
    planted.singles(tmp_path)
    with pytest.raises(ek.UsageError, match=r"no judgments of 'z' in .* models there: 'a', 'b'"):
        claim("z", [tmp_path])
    store = Store(tmp_path, "own", durable=False)
    store.judgments("kind", "single").append(planted.judgment(1, "a", (9.0,), judge=Ref("kind", "i"), key="kind"))
    store.close()
    with pytest.raises(ek.UsageError, match=r"not clear which judgments are meant; .*judge strict"):
        claim("a", [tmp_path])
    assert claim("a", [tmp_path], judge="strict").number.estimate == 8.0
    with pytest.raises(ek.UsageError, match="nothing is rated by score in category 'no'"):
        claim("a", [tmp_path], judge="strict", category="no")


@pytest.mark.parametrize("content", ["{}", "[", '{"schema": "evalkit.claim/2"}', "\x00"])
def test_what_is_no_card_is_told(tmp_path, content):
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(ek.UsageError, match="is no claim card"):
        verify(path, [tmp_path])


def put(content, *path_and_value):
    """The content with one value replaced, by where it is."""
    *path, last, value = path_and_value
    inner = content
    for name in path:
        inner = inner[name]
    inner[last] = value
    return content


FORGED = {
    "a field more": (lambda card: put(card, "note", "checked by us"), "unknown field `note`"),
    "a field more inside": (lambda card: put(card, "number", "note", 1), r"unknown field `note` - at `$.number`"),
    "a field less": (lambda card: {name: card[name] for name in card if name != "votes"}, "required field `votes`"),
    "no schema": (lambda card: {name: card[name] for name in card if name != "schema"}, "required field `schema`"),
    "no number": (lambda card: put(card, "number", "estimate", float("nan")), "JSON is malformed"),
    "endless": (lambda card: put(card, "number", "estimate", float("inf")), "JSON is malformed"),
    "a number as text": (lambda card: put(card, "number", "estimate", "8.0"), "Expected `float`, got `str`"),
    "half a character": (lambda card: put(card, "sentence", "\ud800"), "JSON is malformed"),
    "a huge number": (lambda card: put(card, "number", "estimate", 1e308), "number.estimate: the card says 1e+308"),
    "a huge count": (lambda card: put(card, "number", "questions", 10**400), "number.questions: the card says 1000"),
    "a limit": (lambda card: put(card, "number", "upper", 9.9), "number.upper: the card says 9.9, the rows give 8.5"),
    "questions": (lambda card: put(card, "number", "questions", 80), "number.questions: the card says 80"),
    "rows": (lambda card: put(card, "judgments", "n", -1), "judgments.n: the card says -1, the rows give 24"),
    "a hash in capitals": (
        lambda card: put(card, "answers", "sha256", card["answers"]["sha256"].upper()),
        "answers.sha",
    ),
    "a prompt": (lambda card: put(card, "judge", "prompts", "0" * 32), "judge.prompts: the card says '000"),
    "a revision": (lambda card: put(card, "judge", "revision", "main"), "judge.revision: the card says 'main'"),
    "another judge": (lambda card: put(card, "judge", "fingerprint", "k" * 32), "claim: the card says"),
    "data": (lambda card: put(card, "data", "questions.jsonl", "0" * 64), "data.questions.jsonl: the card says"),
    "data more": (lambda card: put(card, "data", "more.jsonl", "0" * 64), "data.more.jsonl: the card says"),
    "the version": (lambda card: put(card, "evalkit", "9.9"), "seal (the card was changed after it was made)"),
    "a package": (lambda card: put(card, "packages", "numpy", "1.0"), "seal (the card was changed after it was made)"),
    "the seal": (lambda card: put(card, "seal", ""), "seal (the card was changed after it was made)"),
    "the verdict": (lambda card: put(card, "audit", "may_not", []), "audit.may_not: the card says"),
    "a letter that looks alike": (lambda card: put(card, "claim", "model", "\u0430"), "claim: the card says"),
    "a word that looks alike": (
        lambda card: put(card, "sentence", card["sentence"].replace("score", "s\u0441ore")),
        "sentence: the card says",
    ),
    "a path for a benchmark": (lambda card: put(card, "claim", "benchmark", "../../own"), "claim: the card says"),
    "a path for a judge": (lambda card: put(card, "claim", "judge", "../strict"), "claim: the card says"),
    "a way that is none": (lambda card: put(card, "claim", "method", "vibes"), "claim: the card says"),
    "control characters": (lambda card: put(card, "sentence", "\x1b[2Jfine"), "sentence: the card says"),
}


@pytest.mark.parametrize("change", FORGED)
def test_whatever_is_changed_on_a_card_is_refused_in_words(tmp_path, change):
    forge, said = FORGED[change]
    path = single(tmp_path / "results").save(tmp_path / "card.json")
    path.write_text(json.dumps(forge(json.loads(path.read_text()))))
    found = verify(path, [tmp_path / "results"])
    assert not found
    told = "\n".join(one.sentence() for one in found.differences)
    assert "(the card was changed after it was made)" in told
    assert said in told
    assert ("\x1b" in told, "refused" in found._repr_html_()) == (False, True)


def test_the_first_of_two_values_of_a_field_does_not_count(tmp_path):
    path = single(tmp_path / "results").save(tmp_path / "card.json")
    path.write_text(path.read_text().rstrip().removesuffix("}") + ', "sentence": "a is the best"}')
    assert not verify(path, [tmp_path / "results"])


def test_a_card_that_was_written_anew_holds(tmp_path):
    """Spaces and the order of fields are no part of what it says."""
    path = single(tmp_path / "results").save(tmp_path / "card.json")
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert verify(path, [tmp_path / "results"]).holds
    again = read_card(path).save(tmp_path / "again.json")
    assert verify(again, [tmp_path / "results"]).holds


def test_a_row_twice_is_one_row_and_under_another_key_one_more(tmp_path):
    """Files are added to, so that the last row of a key counts; another key is another judgment."""
    card = single(tmp_path)
    path = next(tmp_path.glob("own/judgments/*.jsonl"))
    first = path.read_text().splitlines(keepends=True)[0]
    with path.open("a") as file:
        file.write(first)
    assert verify(card, [tmp_path]).holds
    key = json.loads(first)["key"]
    with path.open("a") as file:
        file.write(first.replace(key, "n" * len(key)))
    assert {"judgments.n", "judgments.sha256"} <= what(tmp_path, card)


def test_a_notebook_shows_cards_and_checks_as_text(tmp_path):
    card = single(tmp_path)
    forged = msgspec.structs.replace(card, sentence="<b>a</b> is the best.")
    assert card.sentence in card._repr_html_()
    assert "<b>" not in forged._repr_html_()
    shown = verify(forged, [tmp_path])._repr_html_()
    assert shown.startswith("<p>refused: &lt;b&gt;a")
    assert "<li>sentence: the card says" in shown
    assert verify(card, [tmp_path])._repr_html_().startswith("<p>verified: On own")


def test_the_verbs(cli, tmp_path):
    planted.singles(tmp_path / "results")
    assert cli("claim", "a", "-o", "card.json").code == 0
    done = cli("verify", "card.json")
    assert done.code == 0
    assert done.out.startswith("verified: On own, a has the score 8")
    content = json.loads((tmp_path / "card.json").read_text())
    content["number"]["estimate"] = 9.0
    (tmp_path / "card.json").write_text(json.dumps(content))
    done = cli("verify", "card.json")
    assert done.code == 4
    assert "number.estimate: the card says 9.0, the rows give 8.0" in done.out
    assert cli("verify", "card.json", "nowhere").code == 2
    assert cli("claim", "z").code == 2
