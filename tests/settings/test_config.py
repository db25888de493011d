"""Every YAML that ships composes through Hydra and builds; new ones are tested by existing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from evalkit.core.paths import shipped
from evalkit.core.protocols import Judge, Model, UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import registry
from evalkit.engine.experiment import Experiment
from evalkit.models.prices import Price, PriceTable, load_prices
from evalkit.settings import assembly, config, targets

CONF = shipped("conf")
REQUIRED = {
    "openai_compatible": ["++{group}.{name}.backend.model=m", "++{group}.{name}.backend.base_url=http://localhost/v1"]
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plain = OmegaConf.to_container(compose("run", list(overrides)), resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return plain


def member(group: str, name: str) -> dict[str, Any]:
    wanted = [text.format(group=group, name=name) for text in REQUIRED.get(name, [])]
    other = "judge=fake" if group == "model" else "model=fake"
    return composed("benchmark=pocket", other, f"{group}={name}", *wanted)


def built(plain: dict[str, Any]) -> Experiment:
    async def load() -> Experiment:
        settings = config.parse(plain)
        return await assembly.experiment(settings, await benchmark.load(settings.benchmark, limit=1))

    return asyncio.run(load())


def artifacts_in(node: object) -> Iterator[str]:
    """Every pinned file a YAML names."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "artifact" and isinstance(value, str):
                yield value
            yield from artifacts_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from artifacts_in(value)


@pytest.mark.parametrize("name", names("model"))
def test_every_model_builds(name):
    (model,) = built(member("model", name)).models
    assert isinstance(model, Model)
    assert model.name == name
    msgspec.json.encode(model.identity())


@pytest.mark.parametrize("name", names("judge"))
def test_every_judge_builds(name):
    (judge,) = built(member("judge", name)).judges
    assert isinstance(judge, Judge)
    assert judge.name == name
    assert re.fullmatch("[0-9a-f]{32}", judge.ref.fingerprint)


@pytest.mark.parametrize("name", names("protocol"))
def test_every_protocol_builds(name, request):
    needed = set(artifacts_in(msgspec.yaml.decode((CONF / "protocol" / f"{name}.yaml").read_bytes())))
    if needed:
        from tests.conftest import FASTCHAT

        files = {registry()[artifact].file for artifact in needed}
        if not files <= set(FASTCHAT):
            pytest.skip(f"needs {', '.join(sorted(files))}, which shared data does not hold")
        request.getfixturevalue("mtbench_files")
    criteria = ["rubric_file=helpful"] if name.startswith("rubric") else []  # pocket's questions bring none
    judge = "reward_vllm" if name == "reward" else "fake"  # a chat model has no use for it
    plain = composed("benchmark=pocket", "model=fake", f"judge={judge}", f"protocol={name}", *criteria)
    plain["protocol"] = targets.named_protocol(plain["protocol"], name)  # as a verb does, which knows the choice
    (judge,) = built(plain).judges
    expected = f"{name}-helpful" if criteria else name
    assert judge.protocol.name == expected, "the file is named as the protocol names its judgments"


def test_several_members_compose():
    experiment = built(composed("benchmark=pocket", "model=[fake,smollm2]", "judge=[fake,gpt4]"))
    assert [model.name for model in experiment.models] == ["fake", "smollm2"]
    assert [judge.name for judge in experiment.judges] == ["fake", "gpt4"]


def test_what_the_design_promises_ships():
    assert {"zephyr", "smollm2", "openai", "anthropic", "openai_compatible"} <= set(names("model"))
    assert {"gpt4", "gpt4o", "claude", "local", "smollm2"} <= set(names("judge"))
    plain = composed("benchmark=pocket")
    assert list(plain["model"]) == ["zephyr"]
    assert plain["model"]["zephyr"]["backend"]["model"] == "HuggingFaceH4/zephyr-7b-beta"
    assert list(plain["judge"]) == ["gpt4"]


def test_judge_and_model_smollm2_share_one_engine():
    experiment = built(composed("benchmark=pocket", "model=smollm2", "judge=smollm2"))
    assert experiment.models[0].backend == experiment.judges[0].model.backend
    assert experiment.judges[0].protocol.scoring == "logprobs"  # type: ignore[attr-defined]


YAML = sorted([*CONF.rglob("*.yaml"), *shipped("benchmarks").rglob("*.yaml")])


@pytest.mark.parametrize("path", YAML, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_named_artifact_is_pinned(path):
    assert set(artifacts_in(msgspec.yaml.decode(path.read_bytes()))) <= set(registry())


@pytest.mark.parametrize("name", benchmark.names())
def test_every_benchmark_parses(name):
    about = benchmark.spec(name)
    assert about.name == name
    faithful = about.faithful or {}
    assert {about.protocol, faithful.get("protocol", about.protocol)} <= set(names("protocol"))
    assert set(faithful) <= set(config.Config.__struct_fields__)
    if about.references is None:
        assert "references" not in faithful
        return
    sets = about.references.sets
    assert {about.references.default, faithful.get("references", "none")} <= {*sets, "none"}
    assert {chosen.fallback for chosen in sets.values()} <= {*sets, None}
    assert set(about.references.categories) <= set(about.categories)


@pytest.mark.parametrize("group", ["model", "judge"])
@pytest.mark.parametrize("source", [pytest.param(name, id=name) for name in names("model")])
def test_a_member_file_holds_its_own_node(group, source):
    if source not in names(group):
        pytest.skip("not in this group")
    content = msgspec.yaml.decode((CONF / group / f"{source}.yaml").read_bytes())
    assert set(content) - {"defaults"} == {source}


@cache
def table() -> PriceTable:
    return load_prices(CONF / "prices.yaml")


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in ("model", "judge") for name in names(group)])
def test_every_model_id_has_a_price_or_is_free(group, name):
    if name == "openai_compatible":
        pytest.skip("its price is the user's to say")
    node = member(group, name)[group][name]
    price = node.get("price")
    assert price == "free" or table().find(price or node["backend"]["model"]) is not None


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gpt-4-1106-preview", "gpt-4-1106-preview"),  # not gpt-4: dearer
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-tuned", None),
        ("my-gpt-4", None),
        ("gpt", None),
        ("", None),
    ],
)
def test_a_dated_snapshot_has_the_price_of_its_model(model, row):
    assert table().find(model) == (table().models[row] if row else None)


def test_prices_make_sense():
    assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", table().as_of)
    for name, price in table().models.items():
        assert 0 < price.input <= price.output, name
        assert price.cached is None or 0 < price.cached < price.input, name


def test_price_of_tokens():
    from evalkit.core.schema import Usage

    usage = Usage(prompt_tokens=1_000_000, completion_tokens=500_000, cached_tokens=400_000)
    assert Price(2.0, 10.0, 0.5).of(usage) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.5 * 10)
    assert Price(2.0, 10.0).of(usage) == pytest.approx(2 + 5)


def test_a_malformed_price_table_is_named(tmp_path: Path):
    path = tmp_path / "prices.yaml"
    path.write_text("as_of: 2026-01\nmodels:\n  m: {input: cheap, output: 1}\n")
    with pytest.raises(UsageError, match=r"prices\.yaml.*models"):
        load_prices(path)


def test_only_our_classes_are_built():
    plain = member("model", "fake")
    for target in (
        "os.system",
        "subprocess.Popen",
        "evalkit_evil.Fake",
        "evalkit.core.schema.Item",
        "evalkit.nope.X",
        "",
    ):
        plain["model"]["fake"]["backend"] = {"_target_": target}
        with pytest.raises(UsageError):
            built(plain)
