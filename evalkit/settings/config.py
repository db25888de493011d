"""The composed configuration, typed, and the experiment it describes.

``_target_`` in YAML is the only registry, and only classes of evalkit and of packages that declare an ``evalkit`` entry
point may be named there. Nothing read back from a results folder is ever built.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from evalkit.backends.ray import spread
from evalkit.backends.servers import Servers
from evalkit.core.batch_api import BatchSettings, batch_backend
from evalkit.core.protocols import Backend, Caps, Judge, JudgeProtocol, Model, Sampling, SystemRole, UsageError
from evalkit.core.schema import ErrorKind
from evalkit.core.secrets import CREDENTIAL, credential_in_config, keep_named
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import fetch
from evalkit.datasets.benchmark import Benchmark
from evalkit.datasets.question_fields import Fields
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import STOP_UNPARSED, Orders, Pairing, Turns
from evalkit.engine.session import STOP_WITHIN, Session
from evalkit.engine.stopping_rule import About, StoppingRule
from evalkit.models.retry import RetryPolicy
from evalkit.settings import rubrics
from evalkit.settings.members import is_member

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

METHODS: dict[type[Any], tuple[str, ...]] = {
    Backend: ("identity", "complete"),
    JudgeProtocol: ("request", "parse"),
}
"""What a class must be able to do that does not derive from ours."""
DECLARED = "evalkit.judges.declared.Declared"
"""What a protocol is whose YAML names no class."""
JudgeKind = Literal["chat", "reward"]
REWARD: dict[str, Any] = {"_target_": "evalkit.judges.reward.Reward"}
"""The protocol of judges of kind ``reward``, whatever protocol others judge by."""
EXAMPLES: dict[type[Any], str] = {
    Backend: "evalkit.backends.fake.Fake",
    JudgeProtocol: "evalkit.judges.single.Single",
}
"""A class of each kind that ``_target_`` may name."""


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one model: one file of conf/model/."""

    backend: dict[str, Any]
    """``_target_`` and the fields of that backend."""
    description: str = ""
    sampling: Sampling = Sampling()
    system_prompt: str | None = None
    system_role: SystemRole = "system"
    unsupported: tuple[str, ...] = ()
    price: str | None = None
    caps: Caps = Caps()
    family: str | None = None
    trained_on: tuple[str, ...] = ()
    thinking_marks: tuple[tuple[str, str], ...] = ()


class JudgeConfig(ModelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of conf/judge/: a model, and how it differs in the protocols it judges by."""

    kind: JudgeKind = "chat"
    """What judges: a model that is prompted, or a reward model, which scores conversations under any protocol."""
    protocols: dict[str, dict[str, Any]] = {}
    """Fields of a protocol this judge sets otherwise, by protocol name."""
    batch: bool = False
    """Ask through the provider's batch API."""


class BudgetConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the experiment may use in all, earlier runs of it included."""

    usd: float | None = None
    tokens: int | None = None


class RayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How ``backend=ray`` uses the cluster; see ``evalkit.backends.ray.Ray``."""

    address: str | None = None
    actors: int | None = None
    cpus: float = 1.0
    gpus: float | None = None


class RunConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The run's own folder, and how it ends."""

    name: str | None = None
    """None: the time it began."""
    stop_within: float = STOP_WITHIN
    """Seconds that what is under way has to finish after the run is told to stop."""


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a run: conf/run.yaml as composed."""

    benchmark: str
    model: dict[str, ModelConfig]
    judge: dict[str, JudgeConfig]
    protocol: dict[str, Any]
    questions: str | None = None
    fields: Fields | None = None
    references: str | None = None
    rubric: str | None = None
    """Criteria for the judge: the name of a rubric, or a file."""
    baseline: str | None = None
    orders: Orders = "both"
    limit: int | None = None
    judged_turns: Turns = "every"
    """Which answers are judged: to every turn, or to the last."""
    repeats: int = 1
    until: str | None = None
    max_judgments: int | None = None
    about: About = "questions_like_these"
    gap: float | None = None
    results_dir: str = "results"
    run: RunConfig = RunConfig()
    dry_run: bool = False
    detect: float | None = None
    """For a forecast: the size of a difference that is to be found."""
    show: Literal["prompt"] | None = None
    """Print one rendered prompt of each judge, and ask nothing."""
    ask_again: tuple[ErrorKind, ...] = ("transport",)
    stop_unparsed: int | None = STOP_UNPARSED
    prices: str | None = None
    budget: BudgetConfig = BudgetConfig()
    retry: RetryPolicy = RetryPolicy()
    batch: BatchSettings = BatchSettings()
    backend: Literal["ray"] | None = None
    """Where models inside this program run; None: in this program."""
    ray: RayConfig = RayConfig()


def member_fields() -> dict[str, tuple[str, ...]]:
    """What may be set of one model, and of one judge."""
    return {"model": ModelConfig.__struct_fields__, "judge": JudgeConfig.__struct_fields__}


def parse(composed: Mapping[str, Any], *, without: Collection[str] = ()) -> Config:
    """Turn a composed configuration into checked settings.

    Args:
        composed: by Hydra.
        without: groups, ``model`` or ``judge``, that may be empty, as their members are given otherwise.

    Raises:
        UsageError: a key is unknown, a value has the wrong type, or it is a credential; the message names the key.
    """
    keep_named(composed)
    if where := credential_in_config(composed):
        raise UsageError(CREDENTIAL.format(where=where))
    composed = _with_protocol(composed)
    members = {}
    for group, kind in (("model", ModelConfig), ("judge", JudgeConfig)):
        nodes, shared = _members(composed.get(group) or {}, kind)
        chosen = [name for name, node in nodes.items() if is_member(node)]
        if not chosen and group not in without:
            raise UsageError(f"no {group} chosen; give {group}=NAME or {group}=NAME,NAME; see `evalkit list {group}s`")
        _check_protocol_fields(nodes if group == "judge" else {}, composed.get("protocol"))
        for name in nodes:
            if name not in chosen:
                raise UsageError(f"{group}.{name} is set, but {name!r} does not take part{near(name, chosen)}")
        members[group] = {name: convert(_merged(node, shared), kind, f"{group}.{name}") for name, node in nodes.items()}
    config: Config = convert({**composed, "model": {}, "judge": {}}, Config, "")
    _at_least(1, config.repeats, "repeats")
    _check_rule(config)
    _at_least(1, config.stop_unparsed, "stop_unparsed")
    for name, value in (("usd", config.budget.usd), ("tokens", config.budget.tokens)):
        _at_least(0, value, f"budget.{name}")
    _at_least(1, config.batch.requests, "batch.requests")
    if not config.batch.poll > 0:
        raise UsageError(f"batch.poll={config.batch.poll:g}: must be more than 0 seconds")
    _at_least(1, config.ray.actors, "ray.actors")
    _at_least(0, config.ray.cpus, "ray.cpus")
    _at_least(0, config.ray.gpus, "ray.gpus")
    _at_least(0, config.run.stop_within, "run.stop_within")
    _check_retry(config.retry)
    return msgspec.structs.replace(config, **members)


def _check_retry(retry: RetryPolicy) -> None:
    for name, value in dataclasses.asdict(retry).items():
        _at_least(0 if name.endswith("wait") else 1, value, f"retry.{name}")


def _check_protocol_fields(judges: Mapping[str, Any], protocol: Any) -> None:
    """Say where a field of the protocol is set for one judge."""
    if not isinstance(protocol, Mapping):
        return
    known = {field.name for field in dataclasses.fields(cast("Any", _target(protocol, "protocol", JudgeProtocol)))}
    for name, node in judges.items():
        for key in node if isinstance(node, Mapping) else ():
            if key in known and key not in JudgeConfig.__struct_fields__:
                where = f"judge.{name}.protocols.{_protocol_name(protocol)}.{key}={node[key]}"
                raise UsageError(
                    f"judge.{name}: unknown key {key!r}: it is a setting of the protocol, {where} for this judge"
                )


def _check_rule(config: Config) -> None:
    """Refuse settings of a tournament, or of a forecast, that say nothing, or contradict it."""
    if config.detect is not None and not 0 < config.detect < float("inf"):
        raise UsageError(f"detect={config.detect:g}: the size of a difference, above 0, as detect=0.2")
    if config.detect is not None and not config.dry_run:
        raise UsageError(
            f"detect={config.detect:g} belongs to a forecast; add dry_run=true, or read what is stored with "
            f"`evalkit plan --detect {config.detect:g}`"
        )
    given = {"max_judgments": config.max_judgments, "gap": config.gap}
    for name, value in given.items():
        if value is not None and config.until is None:
            raise UsageError(f"{name}={value:g} belongs to a tournament; add until=order, top1, ranks:1 or elo:20")
    _at_least(1, config.max_judgments, "max_judgments")
    if config.gap is not None and not 0.5 < config.gap < 1:
        raise UsageError(f"gap={config.gap:g}: how often each model beats the next, more than 0.5 and less than 1")


def _members(group: Mapping[str, Any], kind: type[ModelConfig]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Nodes by member name; and settings given for all members at once, as in ``judge.sampling.temperature=0``."""
    shared = {name: node for name, node in group.items() if name in fields_of(kind) and not is_member(node)}
    return {name: node for name, node in group.items() if name not in shared}, shared


def _with_protocol(composed: Mapping[str, Any]) -> dict[str, Any]:
    """What is composed, with the rubric under its own key, and a protocol that is whole."""
    plain = {"rubric" if key == "rubric_file" else key: value for key, value in composed.items()}
    node = plain.get("protocol")
    if isinstance(node, Mapping) and node:
        plain["protocol"] = with_rubric({"_target_": DECLARED, **node}, plain.get("rubric"))
    return plain


def with_rubric(node: Mapping[str, Any], chosen: object) -> dict[str, Any]:
    """A protocol's settings with the criteria of a rubric in place of its name, and a name that says whose they are.

    Args:
        node: the protocol's; its own ``rubric`` may be a name, a file, or the criteria.
        chosen: what ``rubric=`` was.

    Raises:
        UsageError: there is no such rubric, or the protocol takes none.
    """
    whole, given = dict(node), node.get("rubric") if chosen is None else chosen
    if given is None:
        return whole
    cls: Any = _target(whole, "protocol", JudgeProtocol)
    if "rubric" not in {field.name for field in dataclasses.fields(cls)}:
        raise UsageError(f"rubric={given}: protocol {_protocol_name(whole)} takes no rubric; use protocol=rubric")
    if not isinstance(given, str):
        return {**whole, "rubric": msgspec.to_builtins(rubrics.criteria(given, "protocol.rubric"))}
    criteria, formula = rubrics.load(given)
    whole["rubric"] = msgspec.to_builtins(criteria)
    if formula is not None and "formula" in {field.name for field in dataclasses.fields(cls)}:
        whole.setdefault("formula", formula)
    if chosen is not None:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", rubrics.find(given).stem)
        whole["name"] = f"{_protocol_name(whole)}-{stem}"
    return whole


def _merged(node: Any, over: Any) -> Any:
    """``node`` with the fields of ``over``, level by level."""
    if not (isinstance(node, Mapping) and isinstance(over, Mapping)):
        return over
    return {**node, **{key: _merged(node[key], value) if key in node else value for key, value in over.items()}}


def _at_least(least: int, value: float | None, where: str) -> None:
    if value is not None and value < least:
        raise UsageError(f"{where}={value:g}: must be at least {least}")


def convert(value: Any, kind: Any, where: str) -> Any:
    """A value as the given type; like msgspec, but naming the whole key, and near names for an unknown one."""
    fields = fields_of(kind if value is None else _given(kind))
    if not isinstance(value, Mapping):
        _check_shape(value, kind, where, fields)
    if isinstance(value, Mapping) and fields:
        for key, inner in value.items():
            if key not in fields:
                raise UsageError(f"{where or 'config'}: unknown key {key!r}{near(str(key), fields)}")
            convert(inner, fields[key], f"{where}.{key}".lstrip("."))
    elif typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            convert(inner, typing.get_args(kind)[0], f"{where}[{index}]")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}={value!r}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _check_shape(value: Any, kind: Any, where: str, fields: Iterable[str]) -> None:
    """Say what to write instead, where a value is none of its kind."""
    if fields:
        raise UsageError(f"{where}={value!r}: set one of {', '.join(f'{where}.{name}=' for name in fields)}")
    if isinstance(value, str) and (words := _words(kind)) and value not in words:
        raise UsageError(f"{where}={value!r} is not possible{near(value, words)}")
    if isinstance(value, str) and typing.get_origin(kind) is tuple:
        raise UsageError(f"{where}={value!r}: expected a list; write '{where}=[{value}]'")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}={value}: must be a finite number")


def _words(kind: Any) -> tuple[str, ...]:
    """The strings that a Literal, or one that may be left out, allows; empty for anything else."""
    inner = _given(kind)
    return typing.get_args(inner) if typing.get_origin(inner) is Literal else ()


def _given(kind: Any) -> Any:
    """The type that ``kind`` is where it is not None."""
    parts = typing.get_args(kind)
    return next(part for part in parts if part is not type(None)) if len(parts) == 2 and type(None) in parts else kind


def fields_of(kind: Any) -> dict[str, Any]:
    """Types by field name of a Struct or dataclass; empty for anything else."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return {field.name: field.type for field in msgspec.structs.fields(kind)}
    return typing.get_type_hints(kind) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else {}


async def experiment(config: Config, benchmark: Benchmark) -> Experiment:
    """Build the experiment that settings describe."""
    models = tuple(_model(name, part, f"model.{name}") for name, part in config.model.items())
    protocol = await _with_artifacts(config.protocol)
    judges = tuple(_judge(name, part, protocol, benchmark.references) for name, part in config.judge.items())
    judges = tuple(_suited(judge, benchmark, len(models)) for judge in judges)
    if config.backend == "ray":
        models, judges = _on_ray(models, judges, config.ray)
    pairing = _pairing(config, benchmark)
    rule = None
    if config.until is not None:
        rule = StoppingRule(config.until, config.max_judgments, config.about, config.gap)
        rule.check([model.name for model in models], judges, baseline=bool(pairing.baseline))
    return Experiment(
        benchmark=benchmark,
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


def _suited(judge: Judge, benchmark: Benchmark, models: int) -> Judge:
    """The judge for so many models; refuses items that its protocol cannot judge."""
    if not isinstance(judge.protocol, JudgeProtocol):  # a class of an older package
        return judge
    judge.protocol.check_items(benchmark.items)
    protocol = judge.protocol.for_models(models)
    return judge if protocol is judge.protocol else dataclasses.replace(judge, protocol=protocol)


def _on_ray(
    models: tuple[Model, ...], judges: tuple[Judge, ...], settings: RayConfig
) -> tuple[tuple[Model, ...], tuple[Judge, ...]]:
    """The same members, those that run in this program as actors on a cluster."""
    members = (*models, *(judge.model for judge in judges))
    backends = spread([member.backend for member in members], **msgspec.structs.asdict(settings))
    moved = [dataclasses.replace(member, backend=backend) for member, backend in zip(members, backends, strict=True)]
    return tuple(moved[: len(models)]), tuple(
        dataclasses.replace(judge, model=model) for judge, model in zip(judges, moved[len(models) :], strict=True)
    )


def _pairing(config: Config, benchmark: Benchmark) -> Pairing:
    baseline = config.baseline or benchmark.spec.baseline or {}
    categories = {item.category for item in benchmark.items}
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
    _at_least(1, backend.concurrency, f"{where}.backend.concurrency")
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
    scores = _target(protocol, "protocol", JudgeProtocol) is _target(REWARD, "protocol", JudgeProtocol)
    if config.kind == "reward":
        protocol, references = (protocol if scores else REWARD), "none"  # it is shown none
    elif scores:
        raise UsageError(
            f"judge={name}: protocol=reward is for reward models, which are judges with `kind: reward`; "
            "see `evalkit list judges`, or choose protocol=single"
        )
    own = _own_settings(config, protocol)
    where = f"judge.{name}.protocols.{_protocol_name(protocol)}" if own else "protocol"
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
    name = _protocol_name(protocol)
    kind = str(getattr(_target(protocol, "protocol", JudgeProtocol), "name", ""))
    return config.protocols.get(name) or (config.protocols.get(kind, {}) if name.startswith(f"{kind}-") else {})


def _protocol_name(node: Mapping[str, Any]) -> str:
    return str(node.get("name") or getattr(_target(node, "protocol", JudgeProtocol), "name", ""))


def named_protocol(node: Mapping[str, Any], choice: str) -> dict[str, Any]:
    """A protocol's settings with what its file leaves to say: its class, and its name, which is the file's.

    Args:
        node: what the YAML holds.
        choice: what ``protocol=`` was.

    Raises:
        UsageError: it names a class that there is not.
    """
    whole = {"_target_": DECLARED, **node} if node.get("_target_") is None else dict(node)
    cls: Any = _target(whole, "protocol", JudgeProtocol)
    own_name = any(field.name == "name" and field.init for field in dataclasses.fields(cls))
    return {"name": choice.rpartition("/")[2], **whole} if own_name and not whole.get("name") else whole


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


def build(node: Mapping[str, Any], where: str, kind: type[T]) -> T:
    """An object of the dataclass that ``_target_`` names, its fields checked against their types.

    Raises:
        UsageError: the target may not be named, or is of another kind; a field is unknown or missing, or a value has
            the wrong type.
    """
    cls: Any = _target(node, where, kind)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = _hints(cls, fields)
    values: dict[str, Any] = {}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in fields:
            raise UsageError(f"{where}: {key!r} is not a setting of {cls.__name__}{near(key, fields)}")
        if hints[key] is Backend:
            values[key] = build(convert(value, dict[str, Any], f"{where}.{key}"), f"{where}.{key}", Backend)
        else:
            values[key] = convert(value, hints[key], f"{where}.{key}")
    required = (
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    if missing := [f"{key}=..." for key in required if key not in values]:
        raise UsageError(f"{where}: {cls.__name__} needs {' and '.join(missing)}")
    built: T = cls(**values)
    return built


def _hints(cls: type[Any], names: Iterable[str]) -> dict[str, Any]:
    """Types of the named fields; others may mention names that exist for type checkers only."""
    wanted, hints = set(names), dict[str, Any]()
    for base in reversed(cls.__mro__):  # a plug-in may extend a class of ours: each annotation means its own module
        written = {name: note for name, note in vars(base).get("__annotations__", {}).items() if name in wanted}
        module = vars(import_module(base.__module__))
        hints |= typing.get_type_hints(SimpleNamespace(__annotations__=written), globalns=module)
    return hints


def _target(node: Mapping[str, Any], where: str, kind: type[T]) -> type[T]:
    target = str(node.get("_target_", ""))
    module_name, _, class_name = target.rpartition(".")
    allowed = {"evalkit", *(entry.value.split(".")[0].split(":")[0] for entry in entry_points(group="evalkit"))}
    if module_name.split(".")[0] not in allowed:
        raise UsageError(f"{where}: _target_={target!r} must be a class of {', '.join(sorted(allowed))}")
    try:
        cls = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{where}: there is no {target!r}: {error}") from error
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UsageError(f"{where}: {target!r} is not a dataclass")
    looks_like_one = all(callable(getattr(cls, method, None)) for method in METHODS[kind])  # from an older package
    if not issubclass(cls, kind) and not looks_like_one:
        wanted = f"a {kind.__name__}, as {EXAMPLES[kind]} is"
        raise UsageError(f"{where}: _target_={target!r} must be {wanted}")
    return cast("type[T]", cls)


def near(name: str, known: Iterable[str]) -> str:
    """What the user may have meant, and what there is, as the end of a message."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"; did you mean {close[0]!r}? There" if close else "; there") + f" are: {', '.join(names)}"


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
