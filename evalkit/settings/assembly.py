"""What settings describe, as objects: the benchmark, the experiment with its models and judges, and the session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.backends.ray import spread
from evalkit.backends.servers import Servers
from evalkit.core.batch_api import batch_backend
from evalkit.core.protocols import Backend, Judge, JudgeProtocol, Model, Sampling, UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import fetch
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import Pairing
from evalkit.engine.session import Session
from evalkit.engine.stopping_rule import StoppingRule
from evalkit.settings.config import Config, JudgeConfig, ModelConfig, RayConfig
from evalkit.settings.conversion import at_least, near
from evalkit.settings.targets import build, protocol_name, target_class

if TYPE_CHECKING:
    from rich.console import Console


REWARD: dict[str, Any] = {"_target_": "evalkit.judges.reward.Reward"}
"""The protocol of judges of kind ``reward``, whatever protocol others judge by."""


async def experiment(config: Config, loaded: Benchmark) -> Experiment:
    """Build the experiment that settings describe."""
    models = tuple(_model(name, part, f"model.{name}") for name, part in config.model.items())
    protocol = await _with_artifacts(config.protocol)
    judges = tuple(_judge(name, part, protocol, loaded.references) for name, part in config.judge.items())
    judges = tuple(_suited(judge, loaded, len(models)) for judge in judges)
    if config.backend == "ray":
        models, judges = _on_ray(models, judges, config.ray)
    pairing = _pairing(config, loaded)
    rule = None
    if config.until is not None:
        rule = StoppingRule(config.until, config.max_judgments, config.about, config.gap)
        rule.check([model.name for model in models], judges, baseline=bool(pairing.baseline))
    return Experiment(
        benchmark=loaded,
        models=models,
        judges=judges,
        pairing=pairing,
        turns=config.judged_turns,
        repeats=config.repeats,
        ask_again=frozenset(config.ask_again),
        stop_unparsed=config.stop_unparsed,
        batch=config.batch,
        rule=rule,
    )


def _suited(judge: Judge, loaded: Benchmark, models: int) -> Judge:
    """The judge for so many models; refuses items that its protocol cannot judge."""
    if not isinstance(judge.protocol, JudgeProtocol):  # a class of an older package
        return judge
    judge.protocol.check_items(loaded.items)
    protocol = judge.protocol.for_models(models)
    return judge if protocol is judge.protocol else dataclasses.replace(judge, protocol=protocol)


def _on_ray(
    models: tuple[Model, ...], judges: tuple[Judge, ...], settings: RayConfig
) -> tuple[tuple[Model, ...], tuple[Judge, ...]]:
    """Models and judges, those that run in this program as actors on a cluster."""
    members = (*models, *(judge.model for judge in judges))
    backends = spread([member.backend for member in members], **msgspec.structs.asdict(settings))
    moved = [dataclasses.replace(member, backend=backend) for member, backend in zip(members, backends, strict=True)]
    return tuple(moved[: len(models)]), tuple(
        dataclasses.replace(judge, model=model) for judge, model in zip(judges, moved[len(models) :], strict=True)
    )


def _pairing(config: Config, loaded: Benchmark) -> Pairing:
    baseline = config.baseline or loaded.spec.baseline or {}
    categories = {item.category for item in loaded.items}
    if isinstance(baseline, str):
        baseline = dict.fromkeys(categories, baseline)
    if baseline and (without := sorted(categories - set(baseline))):
        raise UsageError(f"no baseline for category {without[0]!r}; give baseline=NAME")
    if config.orders == "seeded" and not baseline:
        raise UsageError("orders=seeded is AlpacaEval's rule for a model and its baseline; give baseline=NAME")
    return Pairing({category: baseline[category] for category in categories} if baseline else {}, config.orders)


def _model(name: str, config: ModelConfig, where: str) -> Model:
    for cap, value in msgspec.structs.asdict(config.caps).items():
        if value is not None and not value > 0:
            raise UsageError(f"{where}.caps.{cap}={value:g}: must be more than 0")
    known = set(Sampling.__struct_fields__)
    if odd := [field for field in config.unsupported if field not in known]:
        raise UsageError(f"{where}.unsupported: {odd[0]!r} is not a sampling field{near(odd[0], known)}")
    if not all(begin and end for begin, end in config.thinking_marks):
        raise UsageError(f"{where}.thinking_marks: give begin and end of thinking, as in [['<plan>', '</plan>']]")
    backend = _backend(config.backend, f"{where}.backend")
    at_least(1, backend.concurrency, f"{where}.backend.concurrency")
    if not backend.timeout > 0:
        raise UsageError(f"{where}.backend.timeout={backend.timeout:g}: must be more than 0 seconds")
    return Model(
        name=name,
        backend=backend,
        sampling=config.sampling,
        system_prompt=config.system_prompt,
        system_role=config.system_role,
        unsupported=config.unsupported,
        price=config.price,
        caps=config.caps,
        family=config.family,
        trained_on=config.trained_on,
        thinking_marks=config.thinking_marks,
    )


def _backend(node: Mapping[str, Any], where: str) -> Backend:
    """A backend; one for several servers where ``base_url`` lists them."""
    urls = node.get("base_url")
    if not isinstance(urls, list):
        return build(node, where, Backend)
    if not urls:
        raise UsageError(f"{where}.base_url=[]: name at least one server")
    return Servers(servers=tuple(build({**node, "base_url": url}, where, Backend) for url in urls))


def _judge(name: str, config: JudgeConfig, protocol: Mapping[str, Any], references: str) -> Judge:
    scores = target_class(protocol, "protocol", JudgeProtocol) is target_class(REWARD, "protocol", JudgeProtocol)
    if config.kind == "reward":
        protocol, references = (protocol if scores else REWARD), "none"  # it is shown none
    elif scores:
        raise UsageError(
            f"judge={name}: protocol=reward is for reward models, which are judges with `kind: reward`; "
            "see `evalkit list judges`, or choose protocol=single"
        )
    own = _own_settings(config, protocol)
    where = f"judge.{name}.protocols.{protocol_name(protocol)}" if own else "protocol"
    built = build({**protocol, **own}, where, JudgeProtocol)
    model = _model(name, config, f"judge.{name}")
    if config.batch:
        batch_backend(name, model.backend)
        if getattr(built, "calls", "item") == "criterion":
            raise UsageError(
                f"judge.{name}.batch=true: with protocol.calls=criterion each answer takes several calls, which is not "
                "done in batches; use protocol.calls=item"
            )
    return Judge(name, model, built, references, config.batch)


def _own_settings(config: JudgeConfig, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What a judge sets otherwise in a protocol, by its name; ``rubric`` is meant by ``rubric-helpful`` too."""
    name = protocol_name(protocol)
    kind = str(getattr(target_class(protocol, "protocol", JudgeProtocol), "name", ""))
    return config.protocols.get(name) or (config.protocols.get(kind, {}) if name.startswith(f"{kind}-") else {})


async def _with_artifacts(node: Mapping[str, Any]) -> dict[str, Any]:
    """A protocol's fields, with the text of files in place of ``{artifact: NAME}`` and ``{path: FILE}``."""
    fields = dict(node)
    for key, value in node.items():
        if isinstance(value, Mapping) and set(value) in ({"artifact"}, {"path"}):
            path = await fetch(str(value["artifact"])) if "artifact" in value else Path(str(value["path"])).expanduser()
            try:
                fields[key] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"protocol.{key}: cannot read {str(path)!r}: {error}") from error
    return fields


async def load_benchmark(config: Config, *, limit: int | None = None) -> Benchmark:
    """The benchmark that the configuration names, with its questions; the first ``limit`` of each category."""
    return await benchmark.load(
        config.benchmark,
        questions=config.questions,
        fields=config.fields,
        references=config.references,
        limit=limit,
    )


def session(
    config: Config, console: Console, results: Path, benchmark_name: str, more: Mapping[str, Any] | None = None
) -> Session:
    """A session as the configuration says, over one benchmark's folder; ``more`` is recorded beside it."""
    return Session(
        console,
        results=results,
        benchmark=benchmark_name,
        config={**msgspec.structs.asdict(config), **(more or {})},
        name=config.run.name,
        prices=Path(config.prices) if config.prices else None,
        retry=config.retry,
        usd=config.budget.usd,
        tokens=config.budget.tokens,
        stop_within=config.run.stop_within,
    )
