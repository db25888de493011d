"""The composed configuration, typed and checked; what it describes is built by ``assembly``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from evalkit.core.batch_api import BatchSettings
from evalkit.core.protocols import Caps, JudgeProtocol, Sampling, SystemRole, UsageError
from evalkit.core.schema import ErrorKind
from evalkit.core.secrets import CREDENTIAL, credential_in_config, keep_named
from evalkit.datasets.question_fields import Fields
from evalkit.engine.judge import STOP_UNPARSED, Orders, Turns
from evalkit.engine.session import STOP_WITHIN
from evalkit.engine.stopping_rule import About
from evalkit.models.retry import RetryPolicy
from evalkit.settings import rubrics
from evalkit.settings.conversion import at_least, convert, fields_of, near
from evalkit.settings.members import is_member
from evalkit.settings.targets import DECLARED, protocol_name, target_class

JudgeKind = Literal["chat", "reward"]


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
    at_least(1, config.repeats, "repeats")
    _check_rule(config)
    at_least(1, config.stop_unparsed, "stop_unparsed")
    for name, value in (("usd", config.budget.usd), ("tokens", config.budget.tokens)):
        at_least(0, value, f"budget.{name}")
    at_least(1, config.batch.requests, "batch.requests")
    if not config.batch.poll > 0:
        raise UsageError(f"batch.poll={config.batch.poll:g}: must be more than 0 seconds")
    at_least(1, config.ray.actors, "ray.actors")
    at_least(0, config.ray.cpus, "ray.cpus")
    at_least(0, config.ray.gpus, "ray.gpus")
    at_least(0, config.run.stop_within, "run.stop_within")
    _check_retry(config.retry)
    return msgspec.structs.replace(config, **members)


def _check_retry(retry: RetryPolicy) -> None:
    for name, value in dataclasses.asdict(retry).items():
        at_least(0 if name.endswith("wait") else 1, value, f"retry.{name}")


def _check_protocol_fields(judges: Mapping[str, Any], protocol: Any) -> None:
    """Say where a field of the protocol is set for one judge."""
    if not isinstance(protocol, Mapping):
        return
    known = {field.name for field in dataclasses.fields(cast("Any", target_class(protocol, "protocol", JudgeProtocol)))}
    for name, node in judges.items():
        for key in node if isinstance(node, Mapping) else ():
            if key in known and key not in JudgeConfig.__struct_fields__:
                where = f"judge.{name}.protocols.{protocol_name(protocol)}.{key}={node[key]}"
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
    at_least(1, config.max_judgments, "max_judgments")
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
    cls: Any = target_class(whole, "protocol", JudgeProtocol)
    if "rubric" not in {field.name for field in dataclasses.fields(cls)}:
        raise UsageError(f"rubric={given}: protocol {protocol_name(whole)} takes no rubric; use protocol=rubric")
    if not isinstance(given, str):
        return {**whole, "rubric": msgspec.to_builtins(rubrics.criteria(given, "protocol.rubric"))}
    criteria, formula = rubrics.load(given)
    whole["rubric"] = msgspec.to_builtins(criteria)
    if formula is not None and "formula" in {field.name for field in dataclasses.fields(cls)}:
        whole.setdefault("formula", formula)
    if chosen is not None:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", rubrics.find(given).stem)
        whole["name"] = f"{protocol_name(whole)}-{stem}"
    return whole


def _merged(node: Any, over: Any) -> Any:
    """``node`` with the fields of ``over``, level by level."""
    if not (isinstance(node, Mapping) and isinstance(over, Mapping)):
        return over
    return {**node, **{key: _merged(node[key], value) if key in node else value for key, value in over.items()}}
