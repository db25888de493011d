"""Every sentence of a methods paragraph is true of planted results, and changes with the fact that it tells."""

from __future__ import annotations

import json
import platform
import re

import msgspec
import pytest

import evalkit as ek
from evalkit.core.schema import Failure, Ref
from evalkit.publish.methods import cite, to_json, to_latex, to_text
from evalkit.storage.store import Store
from tests.publish import planted


def told(folder, **choices) -> str:
    (one,) = cite([folder], **choices)
    return one.paragraph


def test_who_was_evaluated_on_what(tmp_path):
    assert "We evaluated 2 models (a, b) on 12 questions of own." in told(planted.singles(tmp_path))


def test_a_benchmark_with_a_paper_is_cited_and_called_by_its_title(tmp_path):
    store = Store(tmp_path, "mtbench", durable=False)
    row = msgspec.structs.replace(planted.judgment(1, "a", (5.0,)), benchmark="mtbench", protocol="fastchat_single")
    store.judgments("strict", "fastchat_single").append(row)
    store.close()
    text = told(tmp_path)
    assert "on 1 question of MT-Bench [@zheng2023judging]." in text
    assert "under the protocol fastchat_single (parser rating/2) [@zheng2023judging]." in text
    assert "A model's score is the mean over all its judged turns." in text


def test_hashes_of_the_data_come_from_the_manifest(tmp_path):
    planted.singles(tmp_path)
    assert f"SHA-256 hashes: questions.jsonl ({'d' * 12})." in told(tmp_path)
    (tmp_path / "own/runs/1/manifest.json").unlink()
    assert "SHA-256 hashes" not in told(tmp_path)


def test_models_are_described_as_their_run_had_them(tmp_path):
    text = told(planted.singles(tmp_path))
    assert (
        f"The model a is a.gguf on the backend LlamaCpp (weights with SHA-256 {'e' * 12}, sent temperature 0.5) "
        "[@llamacpp]." in text
    )
    assert (
        "The model b is org/b on the backend VLLM (revision abc123, sent temperature 0.5) [@kwon2023efficient]" in text
    )


def test_what_no_manifest_says_is_said_not_to_be_known(tmp_path):
    planted.singles(tmp_path)
    (tmp_path / "own/runs/1/manifest.json").unlink()
    text = told(tmp_path)
    assert "The results do not say how these models were configured: a, b." in text
    assert "The judge was strict; the results do not say how it was configured" in text
    assert "no manifest says which version made the judgments" in text


def test_a_manifest_of_another_configuration_of_the_judge_tells_nothing(tmp_path):
    planted.singles(tmp_path)
    path = tmp_path / "own/runs/1/manifest.json"
    path.write_text(path.read_text().replace("j" * 32, "k" * 32))
    assert "strict-latest" not in told(tmp_path)


def test_the_judge_its_id_and_its_revision(tmp_path):
    text = told(planted.singles(tmp_path))
    assert (
        "The judge was strict: strict-latest on the backend OpenAI (sent temperature 0.0); no revision of it is known; "
        "its provider reported the id strict-2026-01." in text
    )


def test_the_protocol_its_prompts_and_parser(tmp_path):
    text = told(planted.singles(tmp_path))
    assert (
        f"under the protocol single (prompts with the hash {'f' * 12}, parser rating/2, reference answers: human)."
        in text
    )


@pytest.mark.parametrize(
    ("both", "said"),
    [
        (None, "each of 12 pairs shown in both orders."),
        (0, "each of 12 pairs shown in one order only."),
        (5, "5 of 12 pairs in both orders, 7 in one only."),
    ],
)
def test_orders_are_counted(tmp_path, both, said):
    text = told(planted.pairs(tmp_path, both=both))
    assert said in text
    assert "[@bradley1952rank]" in text


def test_verdicts_that_join_both_orders_are_not_said_to_be_of_one(tmp_path):
    store = Store(tmp_path, "own", durable=False)
    log = store.judgments("strict", "fastchat_pair_aggregated")
    for number in range(5):
        row = planted.judgment(number, "ab", (1.0, 0.0), protocol="fastchat_pair_aggregated")
        log.append(msgspec.structs.replace(row, parser="imported/1"))
    store.close()
    text = told(tmp_path)
    assert "compared in pairs, 5 pairs in all; each judgment joins the verdicts in both orders." in text
    assert "(verdicts imported from another tool's files)" in text
    assert "one order only" not in text


def test_repeats_are_told(tmp_path):
    planted.singles(tmp_path)
    store = Store(tmp_path, "own", durable=False)
    store.judgments("strict", "single").append(planted.judgment(1, "a", (6.0,), key="again", repeat=1))
    store.close()
    assert "Answers were graded one by one, up to 2 times in one order." in told(tmp_path)


def test_failures_are_counted_by_kind(tmp_path):
    planted.singles(tmp_path)
    text = told(tmp_path)
    assert "There are 24 judgments, of which 1 (4.2%) ended without a verdict (1 unparsed); a failure counts" in text
    store = Store(tmp_path, "own", durable=False)
    store.responses("a").append(planted.answer(99, "a", turns=(), finish=(), error=Failure("refused", "no")))
    store.close()
    assert "; 1 answer failed and was not judged (1 refused); a failure counts" in told(tmp_path)
    assert "There are 24 judgments, none without a verdict." in told(planted.pairs(tmp_path / "pairs"))


def test_judgments_that_do_not_count_are_told(tmp_path):
    planted.singles(tmp_path)
    assert "earlier configurations" not in told(tmp_path)
    store = Store(tmp_path, "own", durable=False)
    newer = Ref("strict", "n" * 32)
    for number in range(12):
        row = planted.judgment(number, "a", (5.0,), judge=newer, key=f"new{number}")
        store.judgments("strict", "single").append(row)
    store.close()
    text = told(tmp_path)
    assert "24 judgments of earlier configurations of the judge or of a model are not counted." in text
    assert "There are 12 judgments" in text


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("bt", "maximum-likelihood Bradley-Terry model, a tie being half a win each; 400 points"),
        ("elo", "online Elo (K 4, from 1000), the median over random orders of the comparisons [@elo1978rating]."),
        ("winrate", "A model's win rate is its share of points on average over the opponents"),
    ],
)
def test_the_estimator(tmp_path, method, said):
    assert said in told(planted.pairs(tmp_path), method=method)


def test_intervals_say_how_they_were_made(tmp_path):
    text = told(planted.singles(tmp_path))
    assert (
        "they come from 10,000 resamples of the questions (seed 0) [@miller2024adding; @hesterberg2015teachers]" in text
    )
    assert "within the categories" not in text


def test_where_there_is_no_interval_the_reason_is_given(tmp_path):
    text = told(planted.singles(tmp_path, questions=1))
    assert "There is no interval of 'a', 'b': needs" in text.replace("There are no", "There is no")
    assert "95% intervals" not in text


def test_versions_of_then_and_now(tmp_path):
    text = told(planted.singles(tmp_path))
    assert f"Numbers were computed with evalkit {ek.__version__} (Python {platform.python_version()}, numpy " in text
    assert "begun 2026-01-02T03:04:05+00:00, used evalkit 0.0.9 (openai 9.9) [@evalkit]." in text


def test_a_run_is_what_that_run_was_about(tmp_path):
    planted.singles(tmp_path)
    path = tmp_path / "own/runs/1/manifest.json"
    content = json.loads(path.read_text())
    del content["models"]["b"]
    path.write_text(json.dumps(content))
    (one,) = cite([tmp_path / "own/runs/1"])
    assert "We evaluated 1 model (a) on 12 questions" in one.paragraph
    assert "There are 12 judgments, none without a verdict." in one.paragraph


def test_people_are_no_judge(tmp_path):
    planted.singles(tmp_path)
    store = Store(tmp_path, "own", durable=False)
    person = planted.judgment(1, "ab", (1.0, 0.0), judge=Ref("ann", "human"), key="v")
    store.judgments("ann", "human_pair").append(person)
    store.close()
    assert len(cite([tmp_path])) == 1


def test_every_work_cited_is_listed_once_and_no_other(tmp_path):
    planted.singles(tmp_path / "one")
    planted.pairs(tmp_path / "two")
    text = to_text(cite([tmp_path]))
    keys = set(re.findall(r"@(\w+?\d{4}\w+|evalkit|llamacpp)(?=[;\]])", text))
    listed = re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(keys)


def test_latex_and_json(tmp_path):
    planted.singles(tmp_path)
    found = cite([tmp_path])
    latex = to_latex(found)
    assert r"95\% intervals" in latex
    assert r"~\cite{miller2024adding,hesterberg2015teachers}." in latex
    content = json.loads(to_json(found))
    assert content["schema"] == "evalkit.citation/1"
    assert content["rows"][0]["prompts"] == "f" * 32
    assert {work["key"] for work in content["works"]} >= {"evalkit", "llamacpp"}


def test_names_are_text(tmp_path):
    planted.singles(tmp_path)
    for path in tmp_path.rglob("*.json*"):
        path.write_text(path.read_text().replace("strict-latest", "50% & $x$\\u001b[31m"))
    (one,) = cite([tmp_path])
    assert "\x1b" not in one.paragraph
    assert r"50\% \& \$x\$" in one.to_latex()


def test_nothing_to_cite(tmp_path):
    (tmp_path / "judgments").mkdir()
    with pytest.raises(ek.UsageError, match="no judgments in"):
        cite([tmp_path])
    with pytest.raises(ek.UsageError, match="no judgments of 'nobody'"):
        cite([planted.singles(tmp_path / "x")], judge="nobody")


def test_the_verb(cli, tmp_path):
    planted.singles(tmp_path / "results")
    assert "We evaluated 2 models" in cli("cite").out
    assert cli("cite", "--format", "bibtex").out.startswith("@software{llamacpp,")
    assert cli("cite", "-o", "refs.bib").code == 0
    assert "@misc{miller2024adding" in (tmp_path / "refs.bib").read_text()
    assert cli("cite", "nowhere").code == 2
