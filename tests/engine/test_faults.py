"""Under mixed faults every case ends with a row, nothing answered is asked again, and failures are counted exactly."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter

import pytest

from evalkit.core.schema import Judgment, Response
from evalkit.storage.store import Log
from tests.fault_server import ANSWERED, FaultServer, Plan
from tests.own_benchmark import benchmark_yaml

SHARES = {
    **dict.fromkeys(["429", "429-ms", "429-bare", "500", "503", "529", "reset", "cut"], 0.02),
    **dict.fromkeys(["truncated", "schema", "empty", "null", "refusal", "truncation"], 0.02),
    "trickle": 0.02,
}
"""30% in all: what is asked again, and what is an answer though not a good one. Nothing waits for a time-out here, as
on a busy machine whoever answers may miss it, too."""
ATTEMPTS = 3
MEMBER = """\
one:
  backend:
    _target_: evalkit.backends.%s
    model: %s
    base_url: %s
    timeout: 600
    concurrency: 24
"""
TARGETS = {"openai": "openai.OpenAI", "anthropic": "anthropic.Anthropic"}
AFTER = {  # what a situation is recorded as, where it is the last one of a request
    "answer": {"schema": "malformed", "refusal": "refused"},
    "judge": {
        **{
            "schema": "malformed",
            "refusal": "refused",
            "truncation": "truncated",
            "empty": "unparsed",
            "null": "unparsed",
        },
    },
}


class Bench:
    """A benchmark of ``size`` questions, answered and judged by one server."""

    def __init__(self, folder, cli, server, wire="openai"):
        self.cli, self.server, self.wire = cli, server, wire
        self.folder = folder / "faulty"
        self.folder.mkdir()
        (self.folder / "benchmark.yaml").write_text(benchmark_yaml("faulty"))
        for group, model in (("model", "answer"), ("judge", "judge")):
            (folder / "conf" / group).mkdir(parents=True)
            url = server.url + ("/v1" if wire == "openai" else "")
            (folder / "conf" / group / "one.yaml").write_text(MEMBER % (TARGETS[wire], model, url))
        self.results = folder / "results" / "faulty"
        self._options = [f"--config-dir={folder / 'conf'}", "retry.first_wait=0.01", "retry.longest_wait=0.05"]

    def ask(self, questions):
        (self.folder / "questions.jsonl").write_text("".join(
            json.dumps({"id": str(number), "turns": f"Question {number}: why?"}) + "\n" for number in range(questions)
        ))  # fmt: skip

    def run(self, *settings):
        given = {setting.split("=")[0] for setting in settings}
        options = [option for option in self._options if option.split("=")[0] not in given]
        return self.cli("run", str(self.folder), "model=one", "judge=one", *options, *settings)

    def rows(self, part):
        """The latest row of every item."""
        found = [row for path in self.results.glob(f"{part}/*.jsonl") for row in Log(path, KINDS[part])]
        assert len({row.item for row in found}) == len(found)
        return {row.item: row for row in found}

    def ended(self, role):
        """What the server knows of each item: what its only request ended in, as evalkit is to record it."""
        kinds = {}
        for account in self.server.ledger.values():
            if account.body["model"] == role:
                (item,) = set(re.findall(r"Question (\d+): why", str(account.body["messages"])))
                assert item not in kinds
                last = account.situations[-1]
                if last not in ANSWERED:
                    kinds[item] = "transport"
                elif self.wire == "anthropic" and last == "null":  # not a form this API has
                    kinds[item] = "malformed"
                else:
                    kinds[item] = AFTER[role].get(last)
        return kinds

    def check(self):
        """Row by row what the server did, and nothing answered was asked again."""
        for account in self.server.ledger.values():
            assert account.paid <= 1
            assert not account.paid or account.situations[-1] in ANSWERED
        answers, judgments = self.rows("answers"), self.rows("judgments")
        assert {item: kind_of(row) for item, row in answers.items()} == self.ended("answer")
        assert {item: kind_of(row) for item, row in judgments.items()} == self.ended("judge")
        assert set(judgments) == {item for item, row in answers.items() if row.error is None}
        assert all(row.scores == (7.0,) for row in judgments.values() if row.error is None)
        return Counter(map(kind_of, answers.values())), Counter(map(kind_of, judgments.values()))


KINDS = {"answers": Response, "judgments": Judgment}


def kind_of(row):
    return row.error.kind if row.error else None


def said(err, stage):
    """Failures by kind as the run's last line of a stage gives them."""
    (line,) = re.findall(rf"^{stage} \d+/\d+ \((.*)\)$", err, re.MULTILINE)
    return {kind: int(count) for count, kind in re.findall(r"(\d+) (?!stored)([a-z]+)", line)}


@pytest.fixture
def server():
    with FaultServer() as running:
        running.record = False
        yield running


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "questions", [pytest.param(240, marks=pytest.mark.slow), pytest.param(2300, marks=pytest.mark.full)]
)
def test_mixed_faults(tmp_path, cli, server, wire, questions):
    server.plan = Plan(7, SHARES)
    bench = Bench(tmp_path, cli, server, wire)
    bench.ask(questions)
    settings = [f"retry.attempts={ATTEMPTS}", "retry.give_up_after=20"]
    for number in range(1, 20):
        before = {raw: len(account.situations) for raw, account in server.ledger.items()}
        code, _, err = bench.run(*settings, f"run.name=run{number}")
        assert code == 1, err  # some failures are for good
        answers, judgments = bench.check()
        assert len(bench.rows("answers")) == questions, "every case has a row"
        for stage, counted in (("answers", answers), ("judgments", judgments)):
            expected = {kind: count for kind, count in counted.items() if kind}
            assert said(err, stage) == expected
            manifest = json.loads((bench.results / f"runs/run{number}/manifest.json").read_text())
            assert manifest["stages"][stage]["failed"] == expected
        attempts = {raw: len(account.situations) - before.get(raw, 0) for raw, account in server.ledger.items()}
        assert max(attempts.values()) <= ATTEMPTS
        if "transport" not in answers and "transport" not in judgments:
            break
    assert number > 1, "nothing was lost in the first run: more questions or another seed"
    judged = len(bench.rows("judgments"))
    assert judged > (2000 if questions > 2000 else 200)
    happened = Counter(situation for account in server.ledger.values() for situation in account.situations)
    assert set(happened) == set(SHARES) | {"success"}, "every fault was met"
    share = 1 - happened["success"] / happened.total()
    assert 0.25 < share < 0.35
    count = server.count.total()
    assert bench.run(*settings).code == 1
    assert server.count.total() == count, "nothing is left to ask"
    print(f"{judged} judgments, {number} runs, {happened.total()} requests, {share:.0%} of them faulty: {happened}")


@pytest.mark.slow
def test_a_server_that_is_not_there(tmp_path, cli, server):
    bench = Bench(tmp_path, cli, server)
    bench.ask(40)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"model.one.backend.base_url=http://127.0.0.1:{free.getsockname()[1]}/v1"
    code, _, err = bench.run(nowhere, "retry.first_wait=1.0", "retry.longest_wait=60")  # the waits as they ship
    assert code == 1
    assert "does not answer" in err
    assert "run the same command again" in err


@pytest.mark.slow
def test_a_server_that_hangs(tmp_path, cli, server):
    """It takes connections and never answers: the run ends after a few time-outs."""
    bench = Bench(tmp_path, cli, server)
    bench.ask(40)
    server.plan = Plan(1, {"hang": 1.0})
    code, _, err = bench.run("model.one.backend.timeout=0.5", "retry.attempts=3")
    assert code == 1
    assert "no answer within 0.5 s" in err
    assert server.count.total() <= 3 * 40, "nothing is waited for beyond the attempts"


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["openai", pytest.param("anthropic", marks=pytest.mark.slow)])
def test_a_server_that_dies_half_way(tmp_path, cli, server, wire):
    bench = Bench(tmp_path, cli, server, wire)
    bench.ask(100)
    server.plan = Plan(1, {})
    server.lives = 110
    code, _, err = bench.run("retry.attempts=3")
    assert code == 1
    assert "does not answer" in err
    assert "Everything answered so far is stored" in err
    good = {part: {item for item, row in bench.rows(part).items() if row.error is None} for part in KINDS}
    paid = sum(account.paid for account in server.ledger.values())
    assert paid == sum(map(len, good.values())) > 80, "everything answered is stored"

    server.revive()
    code, _, err = bench.run("retry.attempts=3")
    assert code == 0, err
    assert bench.check() == (Counter({None: 100}), Counter({None: 100}))


def test_the_plan_is_the_same_for_the_same_body_and_attempt():
    plan = Plan(3, SHARES)
    draws = [plan.draw(f"{number}".encode(), attempt) for number in range(2000) for attempt in range(2)]
    assert draws == [Plan(3, SHARES).draw(f"{n}".encode(), attempt) for n in range(2000) for attempt in range(2)]
    assert draws[0::2] != draws[1::2]
    assert sum(draw != "success" for draw in draws) / 4000 == pytest.approx(sum(SHARES.values()), abs=0.03)
    assert sum(SHARES.values()) == pytest.approx(0.3)
