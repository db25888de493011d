"""The GPU check without a GPU: what it concludes, and on the CPU build of vLLM that it measures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.gpu import measures

CHECK = Path(__file__).with_name("check")


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU here")
def test_without_a_gpu_it_says_so():
    done = subprocess.run([sys.executable, str(CHECK)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no CUDA GPU here" in done.stderr


@pytest.mark.parametrize(("words", "said"), [(["--nonsense"], "--nonsense"), (["--models"], "expected at least one")])
def test_what_it_cannot_read_is_told_before_a_gpu_is_looked_for(words, said):
    done = subprocess.run([sys.executable, str(CHECK), *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "GPU here" not in done.stderr


def test_what_nvidia_smi_prints():
    text = "NVIDIA A100-SXM4-80GB, 81920, 1024\nNVIDIA L4, 23034, 0\n\nFailed to initialize NVML\n"
    found = measures.read_gpus(text)
    assert found == [measures.Gpu("NVIDIA A100-SXM4-80GB", 81920, 1024), measures.Gpu("NVIDIA L4", 23034, 0)]
    assert measures.gpus(lambda *_, **__: SimpleNamespace(returncode=0, stdout=text)) == found
    assert measures.gpus(lambda *_, **__: SimpleNamespace(returncode=9, stdout=text)) == []


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (measures.speed("m", [990, 1000, 1010], [1000]), True),
        (measures.speed("m", [900], [1000]), False),
        (measures.memory("m", 500, 20500, 600), True),
        (measures.memory("m", 500, 20500, 10500), False),
        (measures.memory("m", 500, 500, 500), None),
        (measures.prefix("m", 800, 1000), True),
        (measures.prefix("m", 100, 1000), False),
        (measures.prefix("m", 0, 0), None),
        (measures.parallel("m", ["abc", "def"], ["abc", "dxx"], (10, 15)), True),
        (measures.parallel("m", ["abc", "def"], ["xxx", "yyy"], (10, 15)), False),
        (measures.parallel("m", ["abc"], [""], (10, 15)), False),
    ],
    ids=str,
)
def test_what_is_concluded(found, good):
    assert found.good is good


def test_one_json_says_all():
    machine = [measures.Gpu("a GPU", 100, 1)]
    bad = measures.Finding("prefix_cache", "m", False, {"share": 0.1})
    unknown = measures.Finding("memory_freed", "m", None, {"why": "x"})
    told = json.loads(json.dumps(measures.report([bad, unknown], machine)))
    assert (told["good"], len(told["findings"]), told["gpus"][0]["name"]) == (False, 2, "a GPU")
    assert measures.report([unknown], machine)["good"] is True


def test_a_measurement_that_fails_keeps_no_other_from_being_made(monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(measures, "apart", failing)
    monkeypatch.setattr(measures, "throughput", lambda model: measures.speed(model, [1.0], [1.0]))
    found = measures.measured("m", [measures.Gpu("a", 1, 0)] * 2)
    assert [(one.what, one.good) for one in found] == [
        *(("tokens_per_second", True), ("memory_freed", False), ("tensor_parallel", False))
    ]
    assert found[1].values == {"why": "out of memory"}


def test_a_process_of_its_own_that_fails_says_why():
    with pytest.raises(RuntimeError, match="nonsense"):
        measures.apart("nonsense")


@pytest.mark.vllm
def test_the_backend_is_measured_on_the_cpu_build():
    pytest.importorskip("vllm")
    weights = os.environ.get("EVALKIT_TEST_VLLM_WEIGHTS")
    if weights is None:
        pytest.skip("EVALKIT_TEST_VLLM_WEIGHTS names no weights; .ci/vllm makes them")
    got = measures.apart("answered", model=weights, contents=measures.QUESTIONS[:5], tokens=8, enforce_eager=True)
    assert len(got["texts"]) == 5
    assert got["speed"] > 0
    assert measures.prefix(weights, got["cached"], got["prompt"]).good is True
