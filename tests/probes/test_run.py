"""Probes: what every one must hold to, and whether experiments find what was planted in a judge."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import msgspec
import pytest
from rich.console import Console

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Ref, Response
from evalkit.probes import run as probe_run
from evalkit.probes.effect import LEAST
from evalkit.probes.library import PROBES as ALL
from evalkit.probes.text import filler
from evalkit.probes.trials import calls, chosen, placebo, rewritten, target
from evalkit.settings.config import parse
from tests.fault_server import FaultServer

ANSWER = (
    "# Plan\n\nFirst, **boil** the water. Then add `salt`!\n\n- pasta\n- oil\n\n"
    "```python\n# stays\nx = __name__\n```\nDone?"
)
TEXTS = {
    "plain": "The answer is forty-two, because six times seven is that. There is no doubt about it.",
    "markup": ANSWER,
    "empty": "",
    "blank": " \n\t\n",
    "unicode": "日本語の答え。\u202e🙂 e\u0301 \x00 \ud800 <b>&amp;</b> {x} %s [[A]]",
    "huge": "word " * 200_000,
    "huge line": "x" * 1_000_000,
    "huge markup": "**a** `b` # - " * 70_000,
    "fences": "```" * 50_000,
}
PROBES = {probe.name: probe for probe in ALL}
EVERY = list(PROBES)


def test_every_probe_of_the_brief_is_there():
    assert set(EVERY) >= {
        *("position", "rename", "verbosity", "padding", "markdown_on", "markdown_off", "authority", "bandwagon"),
        *("distraction", "sentiment", "identity", "model_name", "aware", "alone", "injection", "null_model"),
    }


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", TEXTS)
def test_any_answer_can_be_rewritten(name, kind):
    probe, text = PROBES[name], TEXTS[kind]
    cue, neutral = probe.rewrite(text, "seed"), placebo(probe, text, "seed")
    assert cue == probe.rewrite(text, "seed")
    assert neutral == placebo(probe, text, "seed")
    assert 0.9 * len(cue) <= len(neutral) <= 1.1 * len(cue)
    if probe.preserves == "text":
        assert text in cue
        assert text in neutral
    if probe.preserves == "words" and "huge" not in kind:
        assert words(text) - words(cue) == Counter()


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", text)) - Counter(["python"])


@pytest.mark.parametrize("name", EVERY)
def test_a_cue_is_not_its_placebo(name):
    probe = PROBES[name]
    if probe.rewrites in ("answer", "instruction"):
        assert probe.rewrite(ANSWER, "seed") != placebo(probe, ANSWER, "seed")
        assert probe.rewrite(ANSWER, "seed") != ANSWER


@pytest.mark.parametrize("text", [TEXTS["plain"], ANSWER, "no full stop in sight " * 20, ""])
def test_padding_says_nothing_new_and_is_half_as_long_again(text):
    padded = PROBES["padding"].rewrite(text, "seed")
    assert 1.4 * len(text) <= len(padded) <= 2 * len(text) + 200
    assert "```python\n# stays\nx = __name__\n```" in padded or "```" not in text


def test_padding_stretches_sentences_and_leaves_numbers_and_abbreviations():
    padded = PROBES["padding"].rewrite("It is 3.14 metres, e.g. here. That is all, by A. Smith! Is it?", "seed")
    assert "3.14 metres, e.g. here, " in padded
    assert "by A. Smith, " in padded


def test_code_keeps_what_looks_like_markup():
    assert "# stays\nx = __name__" in PROBES["markdown_off"].rewrite(ANSWER, "")
    assert "# stays\nx = __name__" in PROBES["markdown_on"].rewrite(ANSWER, "")


@pytest.mark.parametrize("length", [0, 1, 4, 5, 17, 60, 1000])
@pytest.mark.parametrize("leads", [True, False])
def test_filler_is_as_long_as_asked_for(length, leads):
    assert len(filler(length, "seed", prepends=leads)) == length


def test_rewritten_rows_say_what_they_are():
    row = Response(
        key="k", item="1", benchmark="b", category="c", model=Ref("m+second", "f"), turns=("Yes.",), finish=("stop",)
    )
    cue, neutral = (rewritten(row, PROBES["authority"], arm) for arm in ("cue", "placebo"))
    assert (cue.model.name, neutral.model.name) == ("m+authority", "m+authority-placebo")
    assert len({row.key, cue.key, neutral.key}) == 3
    assert len({row.model.fingerprint, cue.model.fingerprint, neutral.model.fingerprint}) == 3


def test_either_answer_may_be_the_target():
    drawn = [target(Item(id=str(number), benchmark="b", category="c", turns=("?",))) for number in range(200)]
    assert 70 < sum(drawn) < 130


def test_unknown_probes_are_named():
    with pytest.raises(UsageError, match="no probe 'lenght'; there are: position"):
        chosen(["lenght"], ALL)
    assert [probe.name for probe in chosen(["verbosity", "position"], ALL)] == ["position", "verbosity"]


def experiment(folder, names, *, model="judge", turns="first", **judge):
    fake = {"_target_": "evalkit.backends.fake.Fake"}
    settings = {
        "benchmark": "pocket",
        "model": {"m": {"backend": dict(fake), "price": "free"}},
        "judge": {"j": {"backend": {**fake, "model": model, **judge.pop("backend", {})}, "price": "free"}},
        "protocol": {"_target_": "evalkit.judges.pairwise.Pairwise", **judge.pop("protocol", {})},
        "results_dir": str(folder),
        **judge,
    }
    return asyncio.run(probe_run.run(parse(settings), names, Console(file=io.StringIO()), turns=turns))


def of(found):
    return {row.metric: row for row in found.value.findings}


@pytest.mark.parametrize("scoring", ["text", "logprobs"])
@pytest.mark.parametrize("bias", [1.0, -1.0])
def test_a_planted_position_bias_is_found(tmp_path, bias, scoring):
    found = experiment(tmp_path, ["position"], backend={"position_bias": bias}, protocol={"scoring": scoring})
    row = of(found)["probe_position"]
    assert row.estimate * bias > 0
    assert row.lower * row.upper > 0
    assert row.details["p"] < 0.01
    assert ("first" if bias > 0 else "second") in row.sentence
    assert any("showing an answer first" in caution for caution in found.value.subjects[0].cautions)
    if scoring == "logprobs":
        assert of(found)["probe_position_shift"].lower * bias > 0 or of(found)["probe_position_shift"].upper * bias > 0


@pytest.mark.parametrize("bias", [2.0, -2.0])
def test_a_planted_length_bias_is_found(tmp_path, bias):
    found = experiment(tmp_path, ["verbosity"], backend={"length_bias": bias})
    row = of(found)["probe_verbosity"]
    assert row.estimate * bias > 0
    assert row.lower * row.upper > 0
    assert row.details["flips_again"] == 0
    assert "net of asking again unchanged" in row.sentence
    assert "net of neutral text of the same length" in row.sentence
    assert any("padding an answer" in caution for caution in found.value.subjects[0].cautions)


def test_an_unbiased_judge_is_silent(tmp_path):
    found = of(experiment(tmp_path, ["position", "verbosity"], backend={"noise": 0.1}))
    for name in ("probe_position", "probe_verbosity"):
        assert found[name].estimate == 0
        assert found[name].lower < 0 < found[name].upper


def test_nothing_is_asked_twice_and_everything_shown_is_stored(tmp_path):
    first = experiment(tmp_path, [], limit=1)
    again = experiment(tmp_path, [], limit=1)
    traffic = [json.loads((one.folder / "manifest.json").read_text())["traffic"] for one in (first, again)]
    asked = [sum(totals["asked"] for totals in one.values()) for one in traffic]
    skipped = 8 * 4  # markdown_off: the fake's answers have no markup
    assert asked == [16 + 8 * calls(chosen([], ALL), 1) - skipped, 0]
    assert first.value.findings == again.value.findings
    root = tmp_path / "audit-pocket"
    stored = {one for path in (root / "answers").glob("*.jsonl") for one in ids(path)}
    shown = {
        one
        for path in (root / "judgments").glob("*.jsonl")
        for line in path.read_text().splitlines()
        for one in json.loads(line)["shown"]
    }
    assert shown <= stored


def ids(path):
    import msgspec

    decoder = msgspec.json.Decoder(Response)
    return [decoder.decode(line).id for line in path.read_bytes().splitlines()]


def test_failed_verdicts_are_no_verdicts(tmp_path):
    found = experiment(
        tmp_path, ["position", "verbosity", "aware"], backend={"mumble": 1.0}, limit=1, stop_unparsed=None
    )
    assert found.code == 1
    assert all(row.not_measurable for row in found.value.findings)
    assert f"on {LEAST} questions: there are 0" in of(found)["probe_verbosity"].not_measurable
    assert found.value.subjects[0].failed == {"unparsed": 8 * 12}


def test_answers_without_markup_cannot_lose_it(tmp_path):
    row = of(experiment(tmp_path, ["markdown_off"], limit=1))["probe_markdown_off"]
    assert row.not_measurable


def test_repeats_are_asked_and_counted(tmp_path):
    row = of(experiment(tmp_path, ["verbosity"], limit=1, repeats=2))["probe_verbosity"]
    assert (row.n, row.questions) == (32, 8)


@pytest.mark.parametrize("scoring", ["text", "logprobs"])
def test_a_judge_that_goes_by_the_place_alone_shows_nothing_else(tmp_path, scoring):
    planted = {"position_bias": 20.0, "length_bias": 2.0}
    found = experiment(tmp_path, ["verbosity"], backend=planted, protocol={"scoring": scoring})
    row, box = of(found)["probe_verbosity"], found.value.subjects[0]
    assert row.details["fixed"]
    assert "goes by the place alone" in row.sentence
    assert not box.conclusions
    if scoring == "logprobs":
        assert of(found)["probe_verbosity_shift"].estimate > 0


FAKES = ("audit", "judge=fake", "model=fake", "limit=1")


def test_the_command_line(cli):
    code, out, err = cli(*FAKES, "probes=[position,verbosity]", "++judge.fake.backend.position_bias=1.0")
    assert code == 0
    assert "What you may conclude from fake" in out
    assert "Places swapped: leans to the first" in out
    assert "80 requests" in err  # 16 answers, 8 verdicts on 8 pairs
    code, out, _ = cli(*FAKES, "probes=[position,verbosity]", "--format", "json")
    data = json.loads(out)
    assert data["schema"] == "evalkit.audit/1"
    assert {"probe_position", "probe_verbosity"} <= {row["metric"] for row in data["findings"]}
    code, out, err = cli(*FAKES, "probes=[position]", "-o", "audit.html")
    assert code == 0
    assert "audit.html" in err
    code, out, err = cli(*FAKES, "probes=[position]", "-o", "audit.xyz")
    assert (code, out) == (2, "")
    assert "no format is called '.xyz'" in err
    assert "requests" not in err  # before anything is asked


def test_the_dry_run_counts_and_asks_nothing(cli, tmp_path):
    code, _, err = cli(*FAKES, "probes=[position,verbosity]", "dry_run=true")
    assert code == 0
    assert "nothing was asked" in err
    assert " 64 " in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probes=[position]"], "experiments need a judge"),
        (["judge=fake", "probes=[nope]"], "no probe 'nope'; there are: position"),
        (["judge=fake", "probes=3"], "probes=3: write probes=NAME,NAME"),
        (["judge=fake", "benchmark=pocket"], "takes its questions by questions=pocket"),
        (["judge=fake", "model=fake", "protocol=single", "probes=all"], "protocol=single does not"),
        (["judge=fake", "model=[fake,smollm2]", "probes=all"], "an audit takes one model"),
        (["judge=fake", "model=fake", "questions=none.jsonl", "probes=all"], "none.jsonl"),
    ],
)
def test_what_cannot_be_done_is_said(cli, arguments, message):
    code, _, err = cli("audit", *arguments)
    assert code == 2
    assert message in err


def test_failures_end_in_exit_code_1(cli):
    assert cli(*FAKES, "probes=[position]", "++judge.fake.backend.mumble=0.5").code == 1


def test_own_questions(cli, tmp_path):
    lines = [json.dumps({"turns": [f"What is {number} and one?"]}) for number in range(6)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    code, _, _ = cli("audit", "judge=fake", "model=fake", "probes=[position]", "questions=mine.jsonl")
    assert code == 0
    assert (tmp_path / "results" / "audit-arena-mine" / "answers" / "fake+second.jsonl").exists()


def test_a_fixed_wording_cannot_be_warned(cli, mtbench_files):
    code, out, _ = cli(*FAKES, "probes=[position,aware]", "protocol=fastchat_pair")
    assert code == 0
    assert "needs a protocol whose instruction can be added to" in out


def test_published_labels_cannot_be_swapped(cli, mtbench_files):
    code, out, _ = cli(*FAKES, "probes=[position,rename]", "protocol=fastchat_pair")
    assert code == 0
    assert (
        "needs a protocol whose labels can be swapped, such as pairwise; those of a published prompt are fixed" in out
    )


def test_labels_scores_and_padding_by_the_command_line(cli, tmp_path):
    """One judge by three prompts, one log for each; what padding asked, `alone` does not ask again."""
    common = (*FAKES, "judge.fake.backend.noise=0", "++judge.fake.backend.label_bias=2", "--format", "json")
    code, out, err = cli(*common, "probes=[rename,padding,alone]")
    assert code == 0
    rows = {row["metric"]: row for row in json.loads(out)["findings"]}
    assert rows["probe_rename"]["estimate"] == 1
    assert rows["probe_rename"]["details"]["place"][0] == 0
    assert rows["probe_alone"]["details"]["won_alone"] == 0.5
    assert "136 requests" in err  # 16 answers, 15 verdicts on 8 pairs
    folder = tmp_path / "results" / "audit-pocket" / "judgments"
    counts = {path.name: len(path.read_bytes().splitlines()) for path in folder.glob("*.jsonl")}
    assert counts == {"fake.pairwise.jsonl": 8 * 10, "fake+rename.pairwise.jsonl": 8 * 2, "fake.single.jsonl": 8 * 3}
    code, _, err = cli(*common, "probes=[alone]")
    assert code == 0
    assert "nothing asked" in err


def test_what_is_called_a_stands_second_and_its_verdict_counts_there(tmp_path):
    experiment(tmp_path, ["rename"], backend={"noise": 0.0, "label_bias": 2.0}, limit=1)
    stored = rows_of(tmp_path / "audit-pocket/judgments/j+rename.pairwise.jsonl")
    assert {(row["label"], tuple(row["scores"])) for row in stored} == {("A", (0.0, 1.0))}


def test_second_turns_are_judged_with_the_second_answer_changed(cli, tmp_path):
    code, out, _ = cli(*FAKES, "turns=both", "probes=[verbosity,alone]", "--format", "json")
    assert code == 0
    rows = {row["metric"]: row for row in json.loads(out)["findings"]}
    assert (rows["probe_verbosity"]["n"], rows["probe_verbosity"]["questions"]) == (32, 8)
    assert (rows["probe_alone"]["n"], rows["probe_alone"]["questions"]) == (16, 8)
    root = tmp_path / "results" / "audit-pocket-turns"
    answers = {row["key"]: row for name in ("fake", "fake+second") for row in rows_of(root / f"answers/{name}.jsonl")}
    originals = [row["turns"] for row in answers.values()]  # the latest row of each: both turns
    padded = rows_of(root / "answers/fake+verbosity-turn2.jsonl")
    assert len(padded) == 8
    for first, second in (row["turns"] for row in padded):
        (before,) = [turns for turns in originals if turns[0] == first and second.endswith(turns[1])]
        assert second != before[1]


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("more", [(), ("dry_run=true",), ("turns=both",)])
def test_which_probes_must_be_said(cli, tmp_path, more):
    code, out, err = cli(*FAKES, *more)
    assert (code, out) == (2, "")
    assert "probes=NAME,NAME, or probes=all" in " ".join(err.split())
    assert all(name in err for name in EVERY)
    assert list(tmp_path.iterdir()) == []


def test_all_probes(cli):
    code, _, err = cli(*FAKES, "probes=all", "dry_run=true")
    assert code == 0
    assert f" {8 * calls(chosen([], ALL), 1)} " in err


def test_the_forecast_comes_before_anything_is_asked(cli, tmp_path):
    err = cli(*FAKES, "probes=[position]").err
    assert err.index("forecast: what this asks") < err.index("answers 16/16")
    assert re.search(r"judge +fake +32 ", err)


def test_turns_are_first_or_both(cli):
    code, _, err = cli(*FAKES, "probes=[position]", "turns=2")
    assert code == 2
    assert "turns=2: write turns=first or turns=both" in err


def test_several_judges_have_a_table_each(cli, tmp_path):
    code, out, _ = cli(
        "audit",
        "judge=[fake,smollm2]",
        "model=fake",
        "limit=1",
        "probes=[position]",
        "judge.smollm2.backend={_target_: evalkit.backends.fake.Fake, model: other, position_bias: 9}",
    )
    assert code == 0
    assert "Measured: fake" in out
    assert "Measured: smollm2" in out
    assert out.index("Measured: fake") < out.index("What you may conclude from smollm2")
    (record,) = (tmp_path / "results" / "audit-pocket" / "runs").glob("*/audit.json")
    rows = [row for row in json.loads(record.read_text())["findings"] if row["metric"] == "probe_position"]
    assert [row["judge"] for row in rows] == ["fake", "smollm2"]
    assert rows[1]["estimate"] == 1


class AlwaysA(FaultServer):
    """Says A whenever two answers are shown, and 7 of every one by itself."""

    def _judgment(self, wire, raw):
        return super()._judgment(wire, b"[[A]]" if b"[[X]]" in raw else b"")


@pytest.mark.parametrize(("judge", "path"), [("gpt4", "/v1"), ("claude", "")])
def test_hosted_judges(cli, tmp_path, monkeypatch, judge, path):
    """Over HTTP, by either SDK: a judge that always says A leans to the first place, and to the label."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-of-nobody")
    with AlwaysA() as server:
        server.provoke("429-ms", "500")
        code, out, err = cli(
            "audit",
            f"judge={judge}",
            "model=fake",
            "limit=1",
            "probes=[position,rename,alone,authority]",
            f"judge.{judge}.backend.base_url={server.url}{path}",
            "retry.first_wait=0.01",
            "--format",
            "json",
        )
        asked = server.count.total()
    assert code == 0, err
    rows = {row["metric"]: row for row in json.loads(out)["findings"]}
    assert rows["probe_position"]["estimate"] == 1
    assert rows["probe_rename"]["estimate"] == 1
    assert rows["probe_authority"]["details"]["fixed"]
    assert rows["probe_alone"]["details"]["won_alone"] == 0.5
    assert asked == 8 * calls(chosen(["position", "rename", "alone", "authority"], ALL), 1) + 2


def test_what_was_tried_is_on_record(cli, tmp_path):
    code, _, _ = cli(
        *FAKES,
        "probes=[authority,position]",
        "repeats=2",
        "run.name=first",
        "turns=both",
        "model.fake.sampling.seed=7",
        "-o",
        "report.html",
    )
    assert code == 0
    folder = tmp_path / "results" / "audit-pocket-turns" / "runs" / "first"
    record = json.loads((folder / "manifest.json").read_text())["probes"]
    assert record["names"] == ["position", "authority"]
    assert (record["turns"], record["repeats"], record["seeds"], record["temperature"]) == ("both", 2, [7, 8], 0.7)
    config = msgspec.yaml.decode((folder / "config.yaml").read_bytes())
    assert (config["probes"], config["turns"], config["repeats"]) == (["position", "authority"], "both", 2)
    text = (tmp_path / "report.html").read_text()
    for fact in (
        "experiments: names",
        "position, authority",
        "experiments: seeds",
        "7, 8",
        "requests;",
        "$0",
        "fake-judge",
    ):
        assert fact in text


def test_the_budget_ends_it_with_what_there_is(cli, tmp_path):
    common = (*FAKES, "probes=[position,verbosity]")
    code, _, err = cli(
        *common, "budget.tokens=60000", "model.fake.backend.concurrency=1", "judge.fake.backend.concurrency=1"
    )
    assert code == 3, err
    assert "Not measurable" not in err
    code, _, err = cli(*common)
    assert code == 0


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_said_and_a_second_one_waits_for_nothing(cli, tmp_path, times):
    slow = ("probes=[position]", "judge.fake.backend.delay=" + ("0.5" if times == 1 else "60"))
    command = [
        sys.executable,
        "-c",
        "from evalkit.cli import main; main()",
        *FAKES,
        *slow,
        "judge.fake.backend.concurrency=4",
        "run.name=cut",
    ]
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        root = tmp_path / "results/audit-pocket"
        answers, verdicts = root / "answers/fake+second.jsonl", root / "judgments/fake.pairwise.jsonl"
        wait_for(lambda: answers.exists() and len(rows_of(answers)) == 8)
        wait_for(lambda: is_asking(root) and (times == 2 or (verdicts.exists() and rows_of(verdicts))))
        running.send_signal(signal.SIGINT)
        if times == 2:
            assert any("Ctrl-C again drops it" in line for line in running.stderr)
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=600)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    manifest = json.loads((tmp_path / "results/audit-pocket/runs/cut/manifest.json").read_text())
    assert manifest["outcome"] == ("interrupted" if times == 1 else "dropped")
    if times == 1:
        assert "Not measurable" in out or "Measured" in out
        assert 0 < len(rows_of(verdicts)) < 32
        code, _, err = cli(*FAKES, "probes=[position]")
        assert code == 0
        assert "nothing asked" not in err


def is_asking(root):
    """Whether a run has requests under way: it holds locks on a file beside its results."""
    with (root / "runs" / ".claims").open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_for(condition):
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
