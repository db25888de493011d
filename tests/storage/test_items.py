"""items.jsonl: the questions beside the results, from whichever run or import brought them."""

import json
import subprocess
import sys

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item
from evalkit.storage.items import Items

MODELS = "model=[one,two]"
MODEL = "{0}:\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}, skill: {1}}}\n  price: free\n"


def item(identity, *turns, **fields):
    return Item(id=identity, benchmark="b", category="c", turns=turns, **fields)


def test_items_are_kept_and_may_change(tmp_path):
    one, other = item("1", "a?"), item("1", "b?")
    assert [Items(tmp_path).keep([row]) for row in (one, one, other)] == [1, 0, 1]
    assert Items(tmp_path).known == {"1": other}
    lines = (tmp_path / "items.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 2, "the earlier question stays in the file"
    (tmp_path / "items.jsonl").write_bytes(b"\n".join(lines))
    assert Items(tmp_path).known == {"1": other}, "blank lines do no harm"
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write('{"id": 5}\n')
    with pytest.raises(UsageError, match=r"items.jsonl', line 4: Expected `str`, got `int` - at `\$.id`"):
        Items(tmp_path)


def test_what_another_process_kept_meanwhile_stays(tmp_path):
    ours, theirs = Items(tmp_path), Items(tmp_path)
    assert theirs.keep([item("1", "a?"), item("2", "b?")]) == 2
    assert ours.keep([item("2", "b?"), item("3", "c?")]) == 1
    assert list(ours.known) == list(Items(tmp_path).known) == ["1", "2", "3"]
    assert len((tmp_path / "items.jsonl").read_bytes().splitlines()) == 3


def test_a_line_that_a_killed_process_left_is_written_again(tmp_path):
    Items(tmp_path).keep([item("1", "a?"), item("2", "b?")])
    path = tmp_path / "items.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert list(Items(tmp_path).known) == ["1"]
    assert Items(tmp_path).keep([item("1", "a?"), item("2", "b?")]) == 1
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == ["1", "2"]


def test_processes_keeping_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from evalkit.storage.items import Items; from tests.storage.test_items import item\n"
        "there = Items(Path(sys.argv[1])); print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(100): there.keep([item(f'{sys.argv[2]}{number}', 'x' * 20_000), item('all', 'y')])"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=600)
        assert worker.returncode == 0
    assert len(Items(tmp_path).known) == len((tmp_path / "items.jsonl").read_bytes().splitlines()) == 201


def test_a_file_that_cannot_be_used(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "items.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link to another place"):
        Items(tmp_path).keep([item("1", "a?")])
    with pytest.raises(UsageError, match="cannot read"):
        Items(tmp_path / "elsewhere")


@pytest.fixture
def arena(cli, tmp_path):
    """Runs of an arena over a file of one's own."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    for name, skill in (("one", 4), ("two", 7)):
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(MODEL.format(name, skill))

    def run(*questions):
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
        ended = cli("run", "arena", "questions=mine.jsonl", MODELS, "judge=fake", f"--config-dir={tmp_path / 'conf'}")
        assert ended.code == 0, ended.err
        return ended

    return run


def test_own_questions_are_there_for_export_and_rejudge(arena, cli, tmp_path):
    arena({"prompt": "Why is it so?"})
    arena({"prompt": "And how is it?"})  # ids are content: both stay
    (tmp_path / "mine.jsonl").unlink()
    for name, said in (("alpaca_eval", "4 outputs"), ("fastchat", "2 questions")):
        ended = cli("export", name, "results/arena-mine", "-o", name)
        assert ended.code == 0, ended.err
        assert said in ended.err
    lines = (tmp_path / "fastchat/arena-mine/question.jsonl").read_text().splitlines()
    assert [json.loads(line)["turns"] for line in lines] == [["Why is it so?"], ["And how is it?"]]
    again = cli("rejudge", "results/arena-mine", "judge=fake", "of=fake", "as=new", "--format", "json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["coverage"]["both"] == 4


def test_a_question_that_changed_under_its_id_is_told(arena, tmp_path):
    assert "differ from" not in arena({"id": "q1", "prompt": "Why?"}, {"id": "q2", "prompt": "How?"}).err
    changed = arena({"id": "q1", "prompt": "Why?"}, {"id": "q2", "prompt": "How else?"})
    assert "1 of 2 questions differ from what an earlier run asked under the same id (q2)" in changed.err
    assert '"How?"' in (tmp_path / "results/arena-mine/items.jsonl").read_text()


def test_exports_take_the_questions_that_came_with_the_results(cli, tmp_path):
    row = {"dataset": "d", "instruction": "Why?", "output": "So.", "generator": "m"}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "model_outputs.json").write_text(json.dumps([row]))
    assert cli("import", "alpaca_eval", "in").code == 0
    ended = cli("export", "alpaca_eval", "-o", "out")  # those of the benchmark are not on this machine
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "out/results/m/model_outputs.json").read_text()) == [row]
