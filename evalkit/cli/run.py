"""The verb ``evalkit run BENCHMARK``: answer a benchmark, judge the answers, print the scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evalkit.cli.messages import DONE, USAGE, console, failed
from evalkit.core.protocols import UsageError
from evalkit.settings import compose

if TYPE_CHECKING:
    from evalkit.datasets.benchmark import Spec

HELP = """\
usage: evalkit run BENCHMARK [key=value ...] [-m] [--cfg job]

Answer a benchmark, judge the answers, print the scores. What is stored in results/ is not asked again.

  evalkit run mtbench model=zephyr                     vLLM on the local GPU, judged by gpt4
  evalkit run mtbench model=smollm2 judge=smollm2      no GPU and no key: inside this program
  evalkit run pocket model=[a,b] judge=[gpt4,claude]   several models, a panel of judges
  evalkit run mtbench model=smollm2 model.smollm2.sampling.temperature=0      a setting of one model
  evalkit run mtbench model=[a,b] model.sampling.temperature=0                of all models

keys:
  model=NAME | [NAME,...]     who answers               evalkit list models
  judge=NAME | [NAME,...]     who judges                evalkit list judges
  protocol=NAME | faithful    how it is judged          evalkit list protocols
  references=NAME | PATH      reference answers shown to the judge
  questions=NAME | FILE       questions for an arena: of a benchmark, or your own file
  fields.turns=NAME           the field of that file with the question; likewise fields.id, .category, .reference
  baseline=NAME               pairwise: compare every model with this one; default: all with all
  until=order | top1 | top3 | ranks:1 | elo:20   a tournament: ask the pairs that decide, stop when sure
  max_judgments=N             the most a tournament may ask; about=these_questions claims no more than these
  limit=N                     only the first N items of each category
  repeats=N                   put each case to each judge N times
  dry_run=true                print calls, tokens, cost and time; ask nothing
  budget=USD                  stop before the request that could pass it (exit code 3); budget.tokens=N likewise
  judge.batch=true            use the provider's batch API, at half the price
  backend=ray                 spread engines of this program over a Ray cluster
  ask_again=[KIND,...]        failures of earlier runs to ask again (default: transport)
  stop_unparsed=N|null        ask a judge no more when its first N replies hold no verdict (default: 20)
  results_dir=DIR  run.name=NAME  prices=FILE

Everything else of Hydra works: -m for several jobs, --cfg job for the composed config, --config-dir for your own YAML.
"""


def main(arguments: list[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP)
        return DONE if arguments else USAGE
    if arguments[0].startswith("-") or "=" in arguments[0]:
        raise UsageError(f"`evalkit run` needs a benchmark before {arguments[0]!r}; see `evalkit list benchmarks`")
    from evalkit.datasets import benchmark

    about = [benchmark.spec(name) for name in arguments[0].split(",")]
    flags, overrides = compose.split(arguments[1:])
    given = dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)
    if "benchmark" in given:
        raise UsageError(f"the benchmark has no key: `evalkit run {given['benchmark']}`")
    if given.get("protocol") == "faithful":
        overrides = [override for override in overrides if override != "protocol=faithful"]
        overrides += [
            f"{key}={value}" for key, value in _faithful(about[0]).items() if key not in given or key == "protocol"
        ]
    elif "protocol" not in given:
        protocols = {spec.protocol for spec in about}
        if len(protocols) > 1:
            raise UsageError(
                f"these benchmarks differ in protocol ({', '.join(sorted(protocols))}); run them one by one"
            )
        overrides.append(f"protocol={protocols.pop()}")
    named = ",".join(map(compose.quoted, arguments[0].split(",")))
    return compose.jobs([*flags, f"benchmark={named}", *overrides], _carry_out, failed=failed)


def _faithful(about: Spec) -> Mapping[str, str]:
    """The settings that reproduce a benchmark's published numbers."""
    if not about.faithful:
        raise UsageError(f"benchmark {about.name!r} is our own: it has no published protocol to be faithful to")
    return about.faithful


def _carry_out(composed: dict[str, Any]) -> int:
    from evalkit.run import run
    from evalkit.settings.config import parse

    return run(parse(composed), console())
