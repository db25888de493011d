"""Re-judging: the same cases before another judge, what it costs to go on, and whether a planted drift is found."""

from __future__ import annotations

import asyncio
import json
import shutil
from types import SimpleNamespace

import msgspec
import pytest
from msgspec.structs import replace

from evalkit.core.schema import Judgment, Ref
from evalkit.datasets import benchmark
from evalkit.rejudge.drift import CompactJudgment, Coverage, VerdictPair, measure
from evalkit.storage.store import Log
from tests.shared_data import shared_data

MODEL = "{0}:\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}, skill: {1}}}\n  price: free\n"
MODELS = {"poor": 4.0, "fair": 5.0, "good": 7.0}
NEW = ("judge=fake", "as=new", "judge.fake.backend.model=another", "judge.fake.backend.noise=0.5")


@pytest.fixture
def here(cli, tmp_path, tmp_path_factory, results_made):
    """Three models judged by the fake judge; ``rejudge`` runs the command on them."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    for name, skill in MODELS.items():
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(MODEL.format(name, skill))
    options = ("model=[poor,fair,good]", "judge=fake", f"--config-dir={tmp_path / 'conf'}")

    def judged(*settings):
        begun, key = (tmp_path / "results").exists(), (("rejudge", *settings),)
        if not begun and key in results_made:
            shutil.copytree(results_made[key], tmp_path / "results")
            return
        assert cli("run", "pocket", *options, *settings).code == 0
        if not begun:
            results_made[key] = tmp_path_factory.mktemp("judged") / "results"
            shutil.copytree(tmp_path / "results", results_made[key])

    def rejudge(*arguments, path="results/pocket"):
        return cli("rejudge", str(path), *arguments)

    def drift(*arguments, path="results/pocket", code=0):
        ended = cli("rejudge", str(path), *arguments, "--format", "json")
        assert ended.code == code, ended.err
        return json.loads(ended.out)

    def log(judge, protocol="single"):
        return Log(tmp_path / f"results/pocket/judgments/{judge}.{protocol}.jsonl", Judgment)

    return SimpleNamespace(judged=judged, rejudge=rejudge, drift=drift, log=log, folder=tmp_path / "results" / "pocket")


def case(row):
    return row.item, row.turn, row.shown, row.models, row.repeat, row.lengths


@pytest.mark.parametrize("protocol", ["single", "pairwise"])
def test_the_new_judge_sees_exactly_what_the_old_one_saw(here, protocol):
    here.judged("limit=1", "repeats=2", f"protocol={protocol}")
    found = here.drift(*NEW)
    old, new = list(here.log("fake", protocol)), list(here.log("new", protocol))
    assert {case(row) for row in old} == {case(row) for row in new}
    assert len(old) == len(new) == found["coverage"]["both"] == found["rows"][0]["n"]
    assert {row.judge.name for row in new} == {"new"}
    assert not {row.judge.fingerprint for row in new} & {row.judge.fingerprint for row in old}
    assert {row.benchmark for row in new} == {"pocket"}
    assert found["schema"] == "evalkit.rejudge/1"
    assert (found["old"]["judge"], found["new"]["judge"], found["protocol"]) == ("fake", "new", protocol)
    assert found["old"]["snapshots"] == {"fake-judge": len(old)}
    assert found["new"]["snapshots"] == {"another": len(new)}


def shifted(here, by):
    """Make the old judge's scores lower, as those of a stricter judge."""
    log = here.log("fake")
    rows = [replace(row, scores=(row.scores[0] - by,)) for row in log]
    log.path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def test_a_planted_shift_is_recovered(here):
    here.judged()
    shifted(here, 0.7)
    found = here.drift(*NEW)
    whole = found["rows"][0]
    assert whole["category"] is None
    assert whole["shift_lower"] < 0.7 < whole["shift_upper"]
    assert 0 < whole["shift_upper"] - whole["shift_lower"] < 0.4
    assert whole["correlation"] > 0.8
    for row in found["models"]:
        assert row["difference"] == pytest.approx(row["new"] - row["old"])
        assert row["difference_lower"] < 0.7 < row["difference_upper"]
    assert [row["model"] for row in found["models"]] == ["good", "fair", "poor"]
    assert f"new is {whole['shift']:.2f} [" in found["verdict"]
    assert "points milder than fake; ranks unchanged" in found["verdict"]
    assert {row["category"] for row in found["rows"]} == {None, *benchmark.spec("pocket").categories}


@pytest.mark.slow
def test_no_shift_is_not_called_one(here):
    here.judged()
    assert "neither milder nor stricter than fake as far as can be seen" in here.drift(*NEW)["verdict"]


@pytest.mark.slow
def test_a_planted_position_bias_is_recovered(here):
    here.judged("protocol=pairwise")
    settings = (*NEW, "judge.fake.backend.position_bias=1.5")
    found = here.drift(*settings)
    whole = found["rows"][0]
    assert whole["first_shift_lower"] > 0.05
    assert whole["agreement"] < 1
    assert whole["kappa_lower"] < whole["kappa"] < whole["kappa_upper"] < 1
    changes = {(row["old"], row["new"]): row["n"] for row in found["changes"]}
    assert sum(changes.values()) == whole["n"] == 288
    assert changes["tie", "first"] > changes.get(("tie", "second"), 0)
    same = sum(count for (old, new), count in changes.items() if old == new)
    assert whole["agreement"] == pytest.approx(same / whole["n"])
    assert f"{288 - same:,} verdicts changed" in found["verdict"]


def test_it_goes_on_where_it_was(here):
    here.judged("limit=2")
    first = here.drift(*NEW, "limit=1")
    assert first["coverage"] | {"both": 48, "beyond_limit": 48} == first["coverage"]
    ended = here.rejudge(*NEW)
    assert "48 requests" in ended.err
    before = here.log("new").path.read_bytes()
    again = here.rejudge(*NEW)
    assert "nothing asked: everything was stored already" in again.err
    assert here.log("new").path.read_bytes() == before
    assert again.out.split() == ended.out.split()


def test_a_dry_run_asks_nothing(here):
    here.judged("limit=1")
    ended = here.rejudge(*NEW, "dry_run=true")
    assert ended.code == 0
    assert "dry run: nothing was asked" in ended.err
    assert " 48 " in ended.err
    assert not here.log("new").path.exists()
    assert ended.out == ""


def test_a_budget_stops_it_and_the_report_covers_what_there_is(here):
    here.judged("limit=1")
    found = here.drift(*NEW, "budget.tokens=25000", "judge.fake.sampling.max_tokens=64", code=3)
    assert 0 < found["coverage"]["pending"] < 48
    assert found["coverage"]["both"] + found["coverage"]["pending"] == 48
    assert here.drift(*NEW, "judge.fake.sampling.max_tokens=64")["coverage"]["both"] == 48


@pytest.mark.slow
def test_replies_of_no_use_that_are_asked_for_again_are_within_its_budget(here):
    here.judged("limit=1")
    mumbling = (
        *NEW,
        "judge.fake.sampling.max_tokens=64",
        "judge.fake.backend.mumble=1.0",
        "ask_again=[unparsed]",
        "stop_unparsed=null",
    )
    for _ in range(4):
        assert here.rejudge(*mumbling, "budget.tokens=25000").code == 3
    usage = [json.loads(line)["usage"] for line in here.log("new").path.read_bytes().splitlines()]
    assert 20_000 < sum(one["prompt_tokens"] + one["completion_tokens"] for one in usage) <= 25_000


def test_failures_are_counted_and_never_numbers(here):
    here.judged("limit=1")
    found = here.drift(*NEW, "judge.fake.backend.mumble=0.4", code=1)
    lost = found["new"]["failed"]["unparsed"]
    assert 0 < lost < 48
    assert found["rows"][0]["n"] == found["coverage"]["both"] == found["new"]["verdicts"] == 48 - lost
    everything = here.drift("judge=fake", "of=fake", "as=mute", "judge.fake.backend.mumble=1.0", code=1)
    assert everything["rows"] == everything["models"] == []
    assert "nothing to compare" in everything["verdict"]


def test_the_record_and_the_report_are_with_the_run(here):
    here.judged("limit=1")
    found = here.drift(*NEW, "run.name=again")
    folder = here.folder / "runs" / "again"
    assert json.loads((folder / "rejudge.json").read_text()) == found
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rejudged"]["judge"] == "fake"
    assert (manifest["outcome"], manifest["models"], list(manifest["judges"])) == ("done", {}, ["new"])


def test_answers_that_are_gone_are_counted(here):
    here.judged("limit=1")
    (here.folder / "answers" / "poor.jsonl").unlink()
    found = here.drift(*NEW)
    assert found["coverage"] | {"rows": 48, "no_answer": 16, "both": 32} == found["coverage"]
    assert {row["model"] for row in found["models"]} == {"fair", "good"}
    for path in (here.folder / "answers").glob("*.jsonl"):
        path.unlink()
    ended = here.rejudge(*NEW)
    assert ended.code == 2
    assert "re-judging needs the texts; import the answers too" in ended.err


def moved(here, name):
    """The same results as those of a benchmark that evalkit does not know."""
    for path in here.folder.glob("*/*.jsonl"):
        path.write_text(path.read_text().replace('"benchmark":"pocket"', f'"benchmark":"{name}"'))
    return here.folder.rename(here.folder.parent / name)


@pytest.mark.slow
def test_questions_come_with_an_import_or_from_a_named_benchmark(here):
    here.judged("limit=1")
    folder = moved(here, "elsewhere")
    (folder / "items.jsonl").unlink()
    ended = here.rejudge(*NEW, path=folder)
    assert ended.code == 2
    assert "the questions of 'elsewhere' are not known" in ended.err
    named = here.drift(*NEW, "benchmark=pocket", path=folder)
    assert named["coverage"]["both"] == 48
    items = asyncio.run(benchmark.load("pocket", references="none")).items
    with (folder / "items.jsonl").open("wb") as file:
        for item in items[:-2]:
            file.write(msgspec.json.encode(replace(item, benchmark="elsewhere")) + b"\n")
    imported = here.drift("judge=fake", "of=fake", "as=newer", path=folder)
    assert imported["coverage"]["both"] == 48
    log = Log(folder / "judgments" / "newer.single.jsonl", Judgment)
    assert {row.benchmark for row in log} == {"elsewhere"}


@pytest.mark.slow
def test_real_imported_results(cli):
    source = shared_data("prd_vicuna80")
    assert cli("import", "prd", str(source), "--into", "real").code == 0
    refused = cli("rejudge", "real", "judge=fake", "of=gpt4")
    assert refused.code == 2
    assert "'gpt4' judged under 'prd_pair', which evalkit can only import" in refused.err
    assert "single" not in refused.err  # shows one answer
    several = cli("rejudge", "real", "judge=fake")
    assert "2 judges judged here; say whose judgments: of=claude|gpt4" in several.err  # people are no judges
    ended = cli("rejudge", "real", "judge=fake", "of=gpt4", "protocol=pairwise", "limit=1")
    assert ended.code == 0
    assert "the judges were asked differently: the old one by prd_pair, the new one by pairwise" in ended.out
    assert "fake says the same as gpt4 in" in ended.out
    assert "1,420 of 1,600 judgments beyond limit" in ended.out


def test_hostile_names_are_made_inert(here):
    here.judged("limit=1")
    log, name = here.log("fake"), "ev\x1b[31mil\u202e[bold]"
    rows = [replace(row, judge=Ref(name, row.judge.fingerprint), snapshot="\x1b]0;x\x07[/]") for row in log]
    log.path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    ended = here.rejudge(*NEW)
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert "\u202e" not in ended.out + ended.err
    assert "[bold]" in ended.out
    assert here.drift(*NEW)["old"]["judge"] == name


@pytest.mark.slow
def test_the_summary(here):
    here.judged("limit=1")
    shifted(here, 2.0)
    ended = here.rejudge(*NEW)
    assert ended.code == 0
    for text in ("pocket, single: new re-judges fake", "points milder than fake", "answered as", "fake-judge (48)"):
        assert text in ended.out
    written = here.rejudge(*NEW, "-o", "out/drift.json")
    assert written.out == ""
    assert json.loads((here.folder.parents[1] / "out/drift.json").read_text())["schema"] == "evalkit.rejudge/1"
    here.rejudge(*NEW, "-o", "out/drift.txt")
    assert "points milder than fake" in (here.folder.parents[1] / "out/drift.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("results/pocket",), "needs the new judge: judge=NAME"),
        (("judge=fake",), "takes one results folder, and none was given"),
        (("results/pocket", "results", "judge=fake"), "2 were given: results/pocket, results"),
        (("nowhere", "judge=fake"), "no results at 'nowhere'"),
        (("results/pocket", "judge=fake", "of=fake"), "give it another name in the results with as=NAME"),
        (("results/pocket", "judge=fake"), "'fake' is the only judge that judged here; to ask it again"),
        (("results/pocket", "judge=fake", "as=x", "of=fak"), "no judgments by 'fak'; there are: fake"),
        (("results/pocket", "judge=fak", "of=fake"), "no judge 'fak'; did you mean 'fake'"),
        (("results/pocket", "judge=fake", "as=x", "protocol=pairwise"), "shows 2 answers at once; 'fake' was shown 1"),
        (("results/pocket", "judge=fake", "as=x", "model=poor"), "model=poor: no model is asked"),
        (("results/pocket", "judge=fake", "as=x", "repeats=2"), "repeats=2: each case is put as often as it was"),
        (("results/pocket", "judge=fake", "as=x", "limit=0"), "limit=0: must be at least 1"),
        (("results/pocket", "judge=fake", "as=x", "limt=1"), "unknown key 'limt'"),
        (
            ("results/pocket", "judge=fake", "as=x", "-o", "x.xyz"),
            "'x.xyz': no format is called '.xyz'; end the name in",
        ),
        (("results/pocket", "judge=[fake,gpt4]", "as=x"), "a rejudge takes one judge, not 2"),
    ],
)
def test_bad_input_is_explained(here, arguments, message):
    here.judged("limit=1")
    before = set(here.folder.rglob("*"))
    ended = here.rejudge(*arguments[1:], path=arguments[0])
    assert ended.code == 2
    assert message in " ".join(ended.err.split())
    assert set(here.folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "tables"), [("single", 3), ("pairwise", 4)])
def test_every_table_goes_into_a_paper_and_a_page(here, tmp_path, protocol, tables):
    here.judged("limit=1", f"protocol={protocol}")
    assert here.rejudge(*NEW, "-o", str(tmp_path / "drift.tex")).code == 0
    latex = (tmp_path / "drift.tex").read_text()
    assert latex.count(r"\begin{table}") == latex.count(r"\bottomrule") == tables
    assert "all & " in latex
    assert "category & n & " in latex
    markdown = here.rejudge(*NEW, "--format", "md").out
    assert markdown.count("| ---") >= tables
    found = here.drift(*NEW)
    assert markdown.startswith(found["verdict"].replace("[", r"\[").replace("]", r"\]").replace("_", r"\_"))
    model = found["models"][0]
    number = f"{model['new']:.2f}" if protocol == "single" else f"{100 * model['new']:.1f}"
    assert number in latex
    assert number in markdown


def test_help(here, cli):
    assert cli("rejudge", "--help").out.startswith("usage: evalkit rejudge PATH judge=NAME")
    assert cli("rejudge").code == 2
    assert "rejudge" in cli("--help").out


# --- what is computed


def twins(*rows):
    """(item, model, old score, new score)."""
    made = []
    for item, model, *scores in rows:
        both = []
        for score in scores:
            failed = "unparsed" if score is None else None
            given = None if score is None else (float(score),)
            both.append(
                CompactJudgment(
                    item, "c", 1, (f"{item}{model}",), (Ref(model, model),), 0, given, failed, "p", None, 0.0
                )
            )
        made.append(VerdictPair(*both))
    return made


def drift_of(*rows):
    made = twins(*rows)
    old, new = (Ref("old", "o"), "single"), (Ref("new", "n"), "single")
    return measure("b", old, new, made, Coverage(len(made), 0, 0, 0, 0, 0))


def test_figures_by_hand():
    found = drift_of(
        ("1", "x", 5, 6), ("1", "y", 4, 7), ("2", "x", 8, 8), ("2", "y", 2, 4), ("3", "x", 9, None), ("3", "y", None, 1)
    )
    assert found.overall is not None
    assert (found.overall.n, found.overall.questions) == (4, 2)
    assert found.overall.shift.estimate == pytest.approx((2 + 1) / 2)
    assert found.overall.agreement.estimate == 0.25
    x, y = found.models
    assert (x.model, x.old, x.new, x.n, x.old_rank, x.new_rank) == ("x", 6.5, 7.0, 2, 1, 1)
    assert (y.old, y.new, y.difference.estimate) == (3.0, 5.5, 2.5)
    assert (found.old.failed, found.new.failed) == ({"unparsed": 1}, {"unparsed": 1})
    assert found.old.first is None


def test_ranks_that_change_are_named():
    rows = [(str(item), model, old, new) for item in range(8) for model, old, new in (("x", 6, 6), ("y", 5, 8))]
    found = drift_of(*rows)
    assert "2 of 2 models change rank: x 1 to 2, y 2 to 1" in found.verdict
    level = drift_of(*[(item, model, old, 6) for item, model, old, _ in rows])
    assert [row.new_rank for row in level.models] == [1, 1]
    assert level.overall is not None
    assert level.overall.correlation is None


def test_the_same_verdicts_do_not_drift():
    rows = [(str(item), model, score, score) for item in range(6) for model, score in (("x", 3 + item % 3), ("y", 8))]
    found = drift_of(*rows)
    assert found.overall is not None
    assert found.overall.agreement.estimate == 1.0
    assert (found.overall.shift.estimate, found.overall.shift.lower) == (
        0.0,
        None,
    )  # all alike: no interval of no width
    assert "ranks unchanged" in found.verdict
    assert "single question" in drift_of(("1", "x", 5, 6)).verdict
