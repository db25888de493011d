"""A run says that the judge is spoken to in English about questions in another language, and only where it is so."""

from __future__ import annotations

import pytest

from evalkit.backends.fake import Fake
from evalkit.core.protocols import Judge, Model
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.experiment import Experiment
from evalkit.judges.declared import Declared
from evalkit.judges.single import Single
from evalkit.runs.run import prompt_languages

OWN = Declared(name="own", user="{conversation}", scale="1-5")


def experiment(name, protocol):
    spec = benchmark.spec(name)
    model = Model(name="fake", backend=Fake())
    loaded = Benchmark(spec=spec, items=(), references="none", hashes={})
    return Experiment(benchmark=loaded, models=(model,), judges=(Judge(name="fake", model=model, protocol=protocol),))


@pytest.mark.parametrize(
    ("name", "protocol", "said"),
    [
        ("mtbench_ja", Single(), ["questions are in Japanese, and the judge's prompt (single) is in English"]),
        (
            "mtbench_ko",
            Single(),
            [
                "questions are in Korean, and the judge's prompt (single) is in English; protocol=fastchat_single_ko "
                "has one in Korean"
            ],
        ),
        ("mtbench", Single(), []),
        ("mtbench_ja", OWN, []),
    ],
)
def test_it_is_said_where_it_is_so(name, protocol, said):
    assert prompt_languages(experiment(name, protocol)) == said
