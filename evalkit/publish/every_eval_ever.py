"""Numbers as records of Every Eval Ever (schema 0.3.0): one JSON a model and benchmark, every judge's results in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit import __version__
from evalkit.core.schema import digest
from evalkit.datasets import benchmark
from evalkit.publish.every_eval_ever_samples import SampleTarget
from evalkit.publish.numbers import RatedModel
from evalkit.ratings.standing import Standing
from evalkit.reports.leaderboard_grid import TITLES, UNITS

SCHEMA = "0.3.0"
OWN_WEIGHTS = frozenset({"VLLM", "LlamaCpp", "Ray"})
"""Backends that run the weights themselves."""
METRIC_UNITS = {"score": "points", "winrate": "percent", "lc": "percent", "bt": "points", "elo": "points"}
KINDS = {"score": "mean_score", "winrate": "win_rate", "lc": "win_rate", "bt": "bradley_terry", "elo": "elo"}
NUMBERS = ("temperature", "top_p", "top_k")


def records(
    rated: Sequence[RatedModel], *, organization: str, relationship: str, now: float
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The records by benchmark, developer and model, as the collection's folders are named.

    Args:
        rated: models as judges rate them.
        organization: who provides the numbers.
        relationship: first_party, third_party, collaborative or other: of who evaluates to who made the models.
        now: Unix time of the record.
    """
    groups: dict[tuple[str, str], list[RatedModel]] = {}
    for one in rated:
        groups.setdefault((one.standing.benchmark, one.standing.model), []).append(one)
    found = {}
    for (name, model), group in groups.items():
        info = _model_info(model, group[0].facts.candidates.get(model, {}))
        stamp = f"{now:.0f}"
        identity = f"{name}/{info['id'].replace('/', '_')}/{stamp}"
        times = [one.facts.record.started for one in group if one.facts.record is not None]
        record: dict[str, Any] = {
            "schema_version": SCHEMA,
            "evaluation_id": identity,
            "retrieved_timestamp": stamp,
            "source_metadata": {
                "source_name": "evalkit",
                "source_type": "evaluation_run",
                "source_organization_name": organization,
                "evaluator_relationship": relationship,
            },
            "eval_library": {"name": "evalkit", "version": __version__},
            "model_info": info,
            "evaluation_results": [
                _result(one, row, identity) for one in group for row in (one.standing, *one.categories)
            ],
        }
        if times:
            record["evaluation_timestamp"] = max(times)
        found[name, str(info["developer"]), model] = record
    return found


def _model_info(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A model or judge; what no manifest says is ``unknown``."""
    identity, backend = str(config.get("model") or name), config.get("backend")
    own = backend in OWN_WEIGHTS
    info: dict[str, Any] = {
        "name": name,
        "id": identity,
        "developer": identity.partition("/")[0] if "/" in identity else "unknown",
        "additional_details": {
            "deployment_type": "self_deployed" if own else "unknown",
            "model_availability": "open_weights" if own else "unknown",
            **{
                field: str(config[field])
                for field in ("revision", "sha256", "fingerprint", "backend")
                if config.get(field)
            },
        },
    }
    if own:
        info["inference_engine"] = {"name": {"VLLM": "vLLM", "LlamaCpp": "llama.cpp"}.get(str(backend), str(backend))}
    return info


def _result_id(identity: str, row: Standing) -> str:
    name = row.benchmark if row.category is None else f"{row.benchmark}/{row.category}"
    return digest(identity, name, row.judge, row.protocol, row.method)


def targets(
    rated: Sequence[RatedModel], found: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> dict[tuple[str, str, str, str], SampleTarget]:
    """Which record and result each judgment belongs to, by benchmark, model, judge and protocol.

    Args:
        rated: models as judges rate them.
        found: the records made of them.
    """
    by_model = {(benchmark, model): record for (benchmark, _, model), record in found.items()}
    result = {}
    for one in rated:
        row = one.standing
        record = by_model[row.benchmark, row.model]
        identity = str(record["evaluation_id"])
        result[row.benchmark, row.model, row.judge, row.protocol] = SampleTarget(
            one, identity, _result_id(identity, row), str(record["model_info"]["id"]), SCHEMA
        )
    return result


def _result(rated: RatedModel, row: Standing, identity: str) -> dict[str, Any]:
    main = row.main
    assert main is not None
    about = rated.facts
    name = row.benchmark if row.category is None else f"{row.benchmark}/{row.category}"
    uncertainty: dict[str, Any] = {"num_samples": main.clusters}
    if main.standard_error is not None:
        uncertainty["standard_error"] = {"value": main.standard_error, "method": "analytic, clustered by question"}
    if main.lower is not None and main.upper is not None:
        how = f"{main.resamples} resamples of questions" if main.resamples else "closed form, clustered by question"
        limits = {"lower": main.lower, "upper": main.upper}
        uncertainty["confidence_interval"] = {**limits, "confidence_level": main.level, "method": how}
        if main.resamples:
            uncertainty["num_bootstrap_samples"] = main.resamples
    details = {"n": str(row.n), "failed": str(sum(row.failed.values()))}
    details |= {f"failed: {kind}": str(count) for kind, count in row.failed.items()}
    return {
        "evaluation_result_id": _result_id(identity, row),
        "evaluation_name": name,
        "source_data": _source(row.benchmark, about.record.data if about.record is not None else {}),
        "metric_config": _metric(rated, row),
        "score_details": {"score": main.estimate, "details": details, "uncertainty": uncertainty},
        "generation_config": _generation(about.asked_with.get(row.model, ())),
    }


def _source(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    hashes = {f"sha256 of {file}": value for file, value in data.items()}
    more = {"additional_details": hashes} if hashes else {}
    known = benchmark.spec(name).source.split()[0] if name in benchmark.names() else ""
    if known.startswith("http"):
        return {"dataset_name": name, "source_type": "url", "url": [known], **more}
    return {"dataset_name": name, "source_type": "other", **more}


def _metric(rated: RatedModel, row: Standing) -> dict[str, Any]:
    about, config = rated.facts, rated.facts.configuration or {}
    low, high = rated.scale or ("-Infinity", "Infinity")
    temperatures = {form.get("temperature") for form in about.sampling}
    judge: dict[str, Any] = {"model_info": _model_info(row.judge, config)}
    if len(temperatures) == 1 and isinstance(alone := temperatures.pop(), int | float):
        judge["temperature"] = alone
    judge["additional_details"] = {"fingerprint": about.judge.fingerprint, "parsers": ", ".join(about.parsers)}
    if about.snapshots:
        judge["additional_details"]["reported as"] = ", ".join(about.snapshots)
    prompts = config.get("prompts")
    asked = f"protocol {row.protocol} of evalkit" + (f", prompts with the hash {prompts}" if prompts else "")
    return {
        "evaluation_description": f"{TITLES[row.method]} by {row.judge} ({row.protocol})",
        "metric_id": f"evalkit.{row.protocol}.{row.method}",
        "metric_name": UNITS[row.method],
        "metric_kind": KINDS[row.method],
        "metric_unit": METRIC_UNITS[row.method],
        "lower_is_better": False,
        "score_type": "continuous",
        "min_score": low,
        "max_score": high,
        "llm_scoring": {"judges": [judge], "input_prompt": asked},
    }


def _generation(forms: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What was sent with every question; what differed between questions is told in words."""
    listed = list(forms)
    names = list(dict.fromkeys(name for form in listed for name in form))
    arguments: dict[str, Any] = {}
    details: dict[str, str] = {}
    for name in names:
        values = [form.get(name) for form in listed]
        alike = all(value == values[0] for value in values)
        number = isinstance(values[0], int | float) and not isinstance(values[0], bool)
        whole = name == "max_tokens" and isinstance(values[0], int) and values[0] >= 1
        if alike and ((name in NUMBERS and number) or whole):
            arguments[name] = values[0]
        else:
            details[name] = " or ".join(dict.fromkeys(map(str, values)))
    return {"generation_args": arguments, "additional_details": details}
