"""The verb ``evalkit run BENCHMARK``: answer a benchmark, judge the answers, print the scores."""

from __future__ import annotations

import sys
from typing import Any

from evalkit.cli.messages import DONE, USAGE, console, failed
from evalkit.core.protocols import UsageError
from evalkit.settings import compose

HELP = """\
usage: evalkit run BENCHMARK [key=value ...] [-m] [--cfg job]

Answer a benchmark, judge the answers, print the scores. What is stored in results/ is not asked again.

  evalkit run mtbench model=zephyr                     vLLM on the local GPU, judged by gpt4
  evalkit run mtbench model=smollm2 judge=smollm2      no GPU and no key: inside this program
  evalkit run mtbench model=openai/gpt-4o-mini judge=anthropic/claude-sonnet-4-6      any model by id
  evalkit run mtbench model=vllm/Qwen/Qwen2.5-7B-Instruct,http://localhost:8000/v1#ckpt-2      a server: URL#NAME
  evalkit run pocket model=a,b judge=gpt4,claude       several models, a panel of judges
  evalkit run mtbench model=smollm2 model.smollm2.sampling.temperature=0      a setting of one model
  evalkit run mtbench model=a,b model.sampling.temperature=0                  of all models
  evalkit run preferences questions=llmbar judge=gpt4,claude       judges, on answers with labels; add -h for its keys

keys:
  model=NAME | ID[,...]       who answers               evalkit list models
  judge=NAME | ID[,...]       who judges                evalkit list judges
                              an ID: openai/ID, anthropic/ID, vllm/ORG/NAME, llamacpp/PATH.gguf, URL#NAME; its
                              settings by the last part, model.gpt-4o.system_prompt=..., or OWN_NAME@ID
  protocol=NAME | faithful    how it is judged          evalkit list protocols
  rubric=NAME | FILE          criteria to judge by          evalkit list rubrics
  references=NAME | PATH      reference answers shown to the judge
  questions=NAME | FILE       questions for an arena: of a benchmark, or your own file
  fields.turns=NAME           the field of that file with the question; likewise fields.id, .category, .reference
  baseline=NAME               pairwise: compare every model with this one; default: all with all
  until=order | top1 | top3 | ranks:1 | elo:20   a tournament: ask the pairs that decide, stop when sure
  max_judgments=N             the most a tournament may ask; about=these_questions claims no more than these
  limit=N                     only the first N items of each category
  judged_turns=last           judge only the last answer of questions with several turns
  repeats=N                   put each case to each judge N times
  dry_run=true                print calls, tokens, cost and time; ask nothing
  detect=0.2                  with it: how many questions, repeats and judges find a difference of that size
  show=prompt                 print one prompt as the judge would be sent it; ask nothing
  budget=USD                  stop before the request that could pass it (exit code 3); budget.tokens=N likewise
  judge.batch=true            use the provider's batch API, at half the price
  backend=ray                 spread engines of this program over a Ray cluster
  ask_again=KIND,...          failures of earlier runs to ask again (default: transport)
  stop_unparsed=N|null        ask a judge no more when its first N replies hold no verdict (default: 20)
  results_dir=DIR  run.name=NAME  prices=FILE

Everything else of Hydra works: -m for several jobs, --cfg job for the composed config, --config-dir for your own YAML.
"""


def main(arguments: list[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP)
        return DONE if arguments else USAGE
    if arguments[0] == "preferences":
        from evalkit.cli.preferences import main as preferences

        return preferences(arguments[1:])
    if arguments[0].startswith("-") or "=" in arguments[0]:
        compose.check_options(arguments)
        raise UsageError(f"`evalkit run` needs a benchmark before {arguments[0]!r}; see `evalkit list benchmarks`")
    compose.check_options(arguments[1:])
    from evalkit.settings.verb_settings import run_settings

    flags, overrides = compose.split(arguments[1:])
    settings = run_settings(arguments[0].split(","), overrides)
    return compose.jobs([*flags, *settings], _carry_out, failed=failed)


def _carry_out(composed: dict[str, Any]) -> int:
    from evalkit.runs.run import run
    from evalkit.settings.config import parse

    return run(parse(composed), console())
