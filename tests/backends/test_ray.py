"""A run on a Ray cluster: two nodes simulated on this machine, and one of them killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from evalkit.backends.fake import Fake
from evalkit.backends.llamacpp import LlamaCpp
from evalkit.backends.openai import OpenAI
from evalkit.backends.ray import Fault, Ray, Worker, spread
from evalkit.backends.vllm import VLLM
from evalkit.core.protocols import (
    Backend,
    Completion,
    Malformed,
    Message,
    Misconfigured,
    Model,
    Rejected,
    Request,
    Transport,
    UsageError,
)
from evalkit.core.schema import Judgment, Response
from evalkit.settings.targets import build
from evalkit.storage.store import Log

ROOT = Path(__file__).parents[2]
KINDS = {"answers": Response, "judgments": Judgment}
SETTINGS = {"address": None, "actors": None, "cpus": 1.0, "gpus": None}
NODE = {"num_gpus": 0, "object_store_memory": 100_000_000}
SECRET = "sk-test-0123456789abcdef"


def request(text="Is the sky blue?"):
    return Request((Message("user", text),))


def _shipped(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


class Gone(Misconfigured):
    """An error of a backend's own."""


# Without a cluster.


def test_it_is_the_model_it_runs():
    for inner in (Fake(skill=3.0), VLLM(model="HuggingFaceH4/zephyr-7b-beta")):
        plain, spread_out = Model(name="m", backend=inner), Model(name="m", backend=Ray(inner=inner, actors=4))
        assert spread_out.identity() == plain.identity()
        assert spread_out.backend.exclusive == inner.exclusive
        assert spread_out.backend.timeout == inner.timeout
        assert spread_out.backend.concurrency == 4 * inner.concurrency


@pytest.mark.parametrize(
    "error",
    [
        Transport("no slot"),
        Transport("429", retry_after=3.5, status=429),
        Transport("gone", unreachable=True),
        Rejected("too long"),
        Malformed("not a completion", body="<html>"),
        Misconfigured("no such model"),
        Gone("a kind of Misconfigured"),
        UsageError("wrong"),
    ],
    ids=repr,
)
def test_errors_arrive_as_they_were(error):
    again = _shipped(Fault.of(error)).exception()
    assert isinstance(error, type(again))
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_actor_returns_errors_and_lets_defects_through():
    class Odd(Fake):
        async def complete(self, request):
            raise ZeroDivisionError

    worker = Worker(Fake(script=("500", "400", "garbage")))
    replies = [asyncio.run(worker.complete(request())) for _ in range(4)]
    assert [type(reply.exception()) for reply in replies[:3]] == [Transport, Rejected, Malformed]
    assert isinstance(replies[3], Completion)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Worker(Odd()).complete(request()))


def test_only_what_runs_here_is_spread_and_equal_backends_share():
    hosted, one, other = OpenAI(model="m"), Fake(), Fake(skill=2.0)
    moved = spread([one, hosted, other, one], **SETTINGS)
    assert moved[1] is hosted
    assert moved[0] == moved[3]
    assert [backend.inner for backend in (moved[0], moved[2])] == [one, other]
    assert {backend.pools for backend in (moved[0], moved[2])} == {2}


def test_backends_that_take_turns_need_room_once():
    moved = spread([VLLM(model="a"), VLLM(model="b"), Fake()], **SETTINGS)
    assert {backend.pools for backend in moved} == {2}


def test_with_nothing_to_spread_it_says_so():
    with pytest.raises(UsageError, match="asked over HTTP"):
        spread([OpenAI(model="m")], **SETTINGS)


def test_what_an_engine_needs_of_a_node():
    assert Ray(inner=VLLM(model="m", tensor_parallel_size=2))._gpus() == 2
    assert Ray(inner=VLLM(model="m"), gpus=0)._gpus() == 0
    assert Ray(inner=Fake())._gpus() == 0
    inner = LlamaCpp(model="m.gguf")
    assert Ray(inner=inner, cpus=3)._shipped().threads == 3, "or each actor would take all idle cores"
    assert inner.threads is None
    fixed = LlamaCpp(model="m.gguf", threads=2)
    assert Ray(inner=fixed)._shipped() is fixed


def test_it_can_be_written_in_yaml():
    fake = {"_target_": "evalkit.backends.fake.Fake", "skill": 3.0}
    node = {"_target_": "evalkit.backends.ray.Ray", "actors": 2, "inner": fake}
    assert build(node, "backend", Backend) == Ray(inner=Fake(skill=3.0), actors=2)
    for inner, complaint in (
        ({**fake, "skil": 1}, r"backend.inner: 'skil' is not a setting of Fake; did you mean 'skill'"),
        ({"_target_": "os.system"}, r"backend.inner: _target_='os.system' must be a class of evalkit"),
        ("fake", r"backend.inner='fake': expected `object`, got `str`"),
    ):
        with pytest.raises(UsageError, match=complaint):
            build({**node, "inner": inner}, "backend", Backend)


def test_without_ray_it_says_what_to_install(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = cli("run", "pocket", "model=fake", "judge=fake", "backend=ray")
    assert ended.code == 2
    assert "pip install 'evalkit[ray]'" in ended.err


# On a cluster.


@pytest.fixture(scope="module")
def ray_cluster():
    """A head node with three logical cores; a test adds the second node."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 3, "include_dashboard": False, **NODE},
    )
    yield cluster
    cluster.shutdown()


@contextlib.contextmanager
def _connection_of_its_own():
    """This process has one connection to Ray, which another test may have left."""
    import ray

    ray.shutdown()
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture
def second_node(ray_cluster):
    node = ray_cluster.add_node(num_cpus=1, **NODE)
    ray_cluster.wait_for_nodes(30)
    yield node
    if node in ray_cluster.worker_nodes:
        ray_cluster.remove_node(node)


@dataclass
class Runs:
    """Runs of one command, each with a results folder of its own."""

    folder: Path
    settings: list[str]

    def start(self, name, *more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        command = [sys.executable, "-c", "from evalkit.cli import main; main()", "run", "pocket", *self.settings]
        with (self.folder / f"{name}.err").open("wb") as errors:
            return subprocess.Popen(
                [*command, f"results_dir={self.folder / name}", *more],
                cwd=self.folder,
                env=environment | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": SECRET},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def said(self, name):
        return (self.folder / f"{name}.err").read_text()

    def complete(self, name, *more):
        assert self.start(name, *more).wait(240) == 0, self.said(name)

    def lines(self, name, part):
        paths = (self.folder / name).glob(f"pocket/{part}/*.jsonl")
        return [line for path in paths for line in path.read_bytes().splitlines()]

    def rows(self, name):
        """What is stored, but for when and how long; each row once."""
        found = {}
        for part, kind in KINDS.items():
            rows = [
                replace(row, created=0.0, latency=0.0)
                for path in (self.folder / name).glob(f"pocket/{part}/*.jsonl")
                for row in Log(path, kind)
            ]
            found[part] = {row.key: row for row in rows}
            asked = len(self.lines(name, part))
            turns = 2 if part == "answers" else 1  # a row is stored after each of its turns
            assert asked == turns * len(rows), f"{asked} lines for {len(rows)} {part}: something was asked twice"
        return found

    def wait_for(self, name, process, part, count):
        limit = time.monotonic() + 600
        while len(self.lines(name, part)) < count:
            assert process.poll() is None, self.said(name)
            assert time.monotonic() < limit, self.said(name)
            time.sleep(0.02)


@pytest.mark.ray
def test_a_node_killed_in_a_run_costs_nothing(ray_cluster, second_node, tmp_path):
    """Its requests are asked again on the node that is left: the rows are those of a run on this machine alone."""
    slow = [f"{group}.backend.delay=0.3" for group in ("model", "judge")]
    few = [f"{group}.backend.concurrency=4" for group in ("model", "judge")]
    runs = Runs(tmp_path, ["model=fake", "judge=fake", "repeats=12", *few, "retry.first_wait=0.1"])
    on_ray = ("backend=ray", f"ray.address={ray_cluster.address}")

    process = runs.start("killed", *on_ray, *slow)
    runs.wait_for("killed", process, "judgments", 20)
    ray_cluster.remove_node(second_node, allow_graceful=False)
    at_the_kill = len(runs.lines("killed", "judgments"))
    assert process.wait(600) == 0, runs.said("killed")
    assert "died and is replaced" in runs.said("killed"), "nothing ran on the node that was killed"
    runs.complete("alone")

    rows = runs.rows("alone")
    assert at_the_kill < len(rows["judgments"]), "it was killed too late"
    assert runs.rows("killed") == rows
    assert "Traceback" not in runs.said("killed")
    assert "(raylet)" not in runs.said("killed")


@pytest.mark.ray
def test_a_cluster_shows_neither_in_the_rows_nor_on_the_terminal(ray_cluster, second_node, tmp_path):
    runs = Runs(tmp_path, ["model=fake", "judge=fake", "limit=1"])
    runs.complete("results", "backend=ray", f"ray.address={ray_cluster.address}")
    said = runs.said("results")
    assert not [line for line in said.splitlines() if "ray" in line.lower()], "Ray talks to the terminal"
    runs.complete("results")
    assert "nothing asked" in runs.said("results")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def _environment():
    return dict(os.environ)


@pytest.mark.ray
@pytest.mark.downloads  # reaches this machine by its own address
def test_keys_stay_on_this_machine(ray_cluster, second_node, tmp_path, monkeypatch):
    """What an actor sees of the environment is the node's own."""
    import ray

    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def run():
        backend = Ray(inner=Fake(), address=ray_cluster.address)
        await backend.open()
        assert backend.concurrency == 4 * Fake().concurrency
        environments = ray.get([ray.remote(num_cpus=0)(_environment).remote() for _ in range(3)])
        await backend.close()
        return environments

    with _connection_of_its_own():
        for environment in asyncio.run(run()):
            assert SECRET not in str(environment)


@pytest.mark.ray
@pytest.mark.downloads  # reaches this machine by its own address
def test_closing_frees_the_cluster(ray_cluster, tmp_path):
    import ray

    async def run():
        backend = Ray(inner=Fake(), address=ray_cluster.address)
        for _ in range(2):
            await backend.open()
            await backend.complete(request())
            await backend.close()
        await asyncio.sleep(2)

    with _connection_of_its_own():
        asyncio.run(run())
        assert ray.available_resources().get("CPU") == 3


@pytest.mark.ray
def test_too_small_a_cluster_says_what_it_lacks(ray_cluster, tmp_path):
    runs = Runs(tmp_path, ["model=fake", "judge=fake", f"ray.address={ray_cluster.address}", "backend=ray"])
    for setting, complaint in (
        ("ray.cpus=64", "no node of the Ray cluster holds an actor of Fake 'fake' with cpus=64 and gpus=0"),
        ("ray.gpus=1", "all together they have 3 CPU, 0 GPU"),
        ("ray.actors=0", "actors=0: must be at least 1"),
        ("ray.address=127.0.0.1:1", "no Ray cluster at '127.0.0.1:1': [Errno"),
    ):
        assert runs.start("results", setting).wait(600) == 2
        assert complaint in runs.said("results")
        assert "Traceback" not in runs.said("results")


@pytest.mark.ray
def test_an_engine_that_cannot_load_on_the_nodes_is_a_message(ray_cluster, tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, but nothing of a model")
    pytest.importorskip("xllamacpp")
    runs = Runs(tmp_path, ["model=smollm2", "judge=fake", "backend=ray"])
    broken = f"model.backend.model={tmp_path / 'broken.gguf'}"
    process = runs.start("results", broken, f"ray.address={ray_cluster.address}")
    assert process.wait(600) == 2, runs.said("results")
    assert "llama.cpp cannot load" in runs.said("results")
    assert "Traceback" not in runs.said("results")


@pytest.mark.ray
def test_the_embedded_engine_on_a_cluster_with_a_node_killed(ray_cluster, second_node, tmp_path):
    """Greedy, one slot, no prompt cache: the same texts, to the letter, on every node and after the kill."""
    pytest.importorskip("xllamacpp")
    weights = os.environ.get("EVALKIT_TEST_GGUF")
    if not weights:
        pytest.skip("EVALKIT_TEST_GGUF names no weights")
    shutil.copyfile(weights, tmp_path / "model.gguf")
    model = ["model=smollm2", f"model.smollm2.backend.model={tmp_path / 'model.gguf'}"]
    engine = ["model.smollm2.backend.slots=1", "model.smollm2.backend.context=2048", "model.smollm2.backend.threads=1"]
    exact = [f"++model.smollm2.{setting}" for setting in ("sampling.temperature=0", "sampling.max_tokens=16")]
    exact += ["+model.smollm2.sampling.extra.cache_prompt=false"]
    runs = Runs(tmp_path, [*model, *engine, *exact, "judge=fake", "limit=1", "retry.first_wait=0.1"])
    on_ray = ("backend=ray", f"ray.address={ray_cluster.address}", "ray.cpus=0.5")

    process = runs.start("killed", *on_ray)
    runs.wait_for("killed", process, "answers", 3)
    ray_cluster.remove_node(second_node, allow_graceful=False)
    assert process.wait(600) == 0, runs.said("killed")
    assert "died and is replaced" in runs.said("killed")
    runs.complete("alone")
    assert runs.rows("killed") == runs.rows("alone")


def test_msgspec_structs_cross_processes():
    """What Ray pickles: a request with everything in it, and a completion."""
    asked = Request((Message("user", "lone \ud800 surrogate"),))
    assert _shipped(asked) == asked
    answered = Completion("text", "length", logprobs=({"7": -0.5},), model="m")
    assert _shipped(answered) == answered
    assert msgspec.json.encode(answered)
