"""What people type: models and judges by id, lists without brackets, and mistakes, each with its advice."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

RUN = ("run", "pocket", "limit=1", "dry_run=true")
FAKE = (*RUN, "model=fake", "judge=fake")


def config(cli, *arguments):
    """The composed configuration as printed, without white space at the ends of lines."""
    code, out, err = cli(*RUN, *arguments, "--cfg", "job")
    assert code == 0, err
    return out


# ruff: noqa: E501
# --- what is taken

TAKEN = [
    (("model=openai/gpt-4o", "judge=fake"), "  gpt-4o:\n", "OpenAI\n      model: gpt-4o\n"),
    (("model=anthropic/claude-x-1", "judge=fake"), "  claude-x-1:\n", "Anthropic\n      model: claude-x-1\n"),
    (("model=vllm/Qwen/Qwen2.5-7B-Instruct", "judge=fake"), "  Qwen2.5-7B-Instruct:\n", "Qwen/Qwen2.5-7B-I"),
    (("model=vllm/./ckpt-2", "judge=fake"), "  ckpt-2:\n", "VLLM\n      model: ./ckpt-2\n"),
    (("model=vllm//data/ckpt-2/", "judge=fake"), "  ckpt-2:\n", "      model: /data/ckpt-2/\n"),
    (("model=llamacpp/models/a.Q4.gguf", "judge=fake"), "  a.Q4:\n", "LlamaCpp\n      model: models/a.Q4.gguf\n"),
    (("model=http://localhost:8000/v1#ckpt-1", "judge=fake"), "  ckpt-1:\n", "      base_url: http://localhost:8000/v1\n"),
    (("model=http://h:1/v1#org/name", "judge=fake"), "  name:\n", "      model: org/name\n"),
    (("model=http://h:11434/v1#llama3.1:8b", "judge=fake"), "  llama3.1:8b:\n", "      model: llama3.1:8b\n"),
    (("model=https://h/d?api-version=1#m", "judge=fake"), "  m:\n", "      base_url: https://h/d?api-version=1\n"),
    (("model=mine@openai/gpt-4o", "judge=fake"), "  mine:\n", "      model: gpt-4o\n"),
    (("model=a@http://h:1/v1#m,b@http://h:2/v1#m", "judge=fake"), "  a:\n", "  b:\n"),
    (("model=fake", "judge=openai/gpt-4o"), "judge:\n  gpt-4o:\n", "      temperature: 0.0\n"),
    (("model=fake", "judge=openai/gpt-5-mini"), "      max_tokens: 8192\n", "    - temperature\n"),
    (("model=fake", "judge=vllm/org/j,fake"), "judge:\n  j:\n", "  fake:\n"),
    (("model=fake,smollm2", "judge=fake"), "  fake:\n", "  smollm2:\n"),
    (("model=[fake,smollm2]", "judge=fake"), "  fake:\n", "  smollm2:\n"),
    (("model=[fake, openai/gpt-4o]", "judge=fake"), "  fake:\n", "  gpt-4o:\n"),
    (("model='openai/gpt-4o'", "judge=fake"), "  gpt-4o:\n", "      model: gpt-4o\n"),
    (("model=openai/gpt-4o", "judge=fake", "model.gpt-4o.sampling.temperature=0.25"), "  gpt-4o:\n", "temperature: 0.25\n"),
    (("model=openai/gpt-4o", "judge=fake", "model.openai/gpt-4o.sampling.seed=7"), "  gpt-4o:\n", "      seed: 7\n"),
    (
        ("model=vllm/Qwen/qwen2.5-7b", "judge=fake", "model.qwen2.5-7b.sampling.temperature=0.25"),
        "  qwen2.5-7b:\n",
        "      temperature: 0.25\n",
    ),
    (("model=llamacpp/m.gguf", "judge=fake", "model.m.gguf.backend.slots=3"), "  m:\n", "      slots: 3\n"),
    (("model=http://h/v1#llama3:8b", "judge=fake", "model.llama3:8b.price=free"), "  llama3:8b:\n", "    price: free\n"),
    (("model=fake,openai/gpt-4o", "judge=fake", "model.sampling.seed=7"), "  fake:\n", "    seed: 7\n"),
    (("model=fake", "judge=fake", "ask_again=unparsed"), "ask_again:\n- unparsed\n", ""),
    (("model=fake", "judge=fake", "ask_again=unparsed,refused"), "- unparsed\n- refused\n", ""),
    (("model=fake", "judge=fake", "model.fake.unsupported=seed,stop"), "    - seed\n    - stop\n", ""),
    (("model=fake", "judge=fake", "model.fake.system_prompt=Sei höflich, bitte!"), "system_prompt: Sei höflich, bitte!", ""),
    (("model=fake", "judge=fake", "model.fake.system_prompt=Don't (ever) shout: be \"kind\""), "(ever) shout: be", ""),
    (("model=fake", "judge=fake", "questions=données/été.jsonl"), "questions: données/été.jsonl\n", ""),
    (("model=fake", "judge=fake", "budget=5"), "  usd: 5\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "one", "other"), TAKEN, ids=lambda value: " ".join(value) if value else None)
def test_what_is_typed_is_taken(cli, arguments, one, other):
    out = config(cli, *arguments)
    assert one in out
    assert other in out
    assert "hex_" not in out


@pytest.mark.slow
def test_a_sweep_over_ids_runs_a_job_for_each(cli):
    code, _, err = cli(*RUN, "-m", "model=fake,a@vllm/org/x.1", "judge=fake")
    assert code == 0
    assert err.count("dry run: nothing was asked") == 2
    assert "hex_" not in err
    code, _, err = cli(*RUN, "-m", "model=[fake,openai/o.1],smollm2", "judge=fake")
    assert code == 0
    assert err.count("dry run: nothing was asked") == 2


def test_a_yaml_whose_name_has_dots_or_ends_in_yml(cli, tmp_path):
    folder = tmp_path / "own" / "model"
    folder.mkdir(parents=True)
    node = "{0}:\n  price: free\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}}}\n"
    (folder / "qwen2.5.yaml").write_text(node.format("qwen2.5"))
    (folder / "short.yml").write_text(node.format("short"))
    own = ("--config-dir", "own", "judge=fake")
    out = config(cli, "model=qwen2.5,short", *own, "model.qwen2.5.sampling.seed=7", "model.short.sampling.seed=8")
    assert re.search(r"  qwen2\.5:\n(    .*\n)*      seed: 7\n", out)
    assert re.search(r"  short:\n(    .*\n)*      seed: 8\n", out)
    listed = cli("list", "models", "--config-dir", "own").out
    assert "short" in listed
    (folder / "openai").mkdir()
    (folder / "openai" / "x.yaml").write_text("# @package model\n" + node.format("x"))
    assert "Fake" in config(cli, "model=openai/x", *own), "a file of one's own wins over an id"


# --- what shells make of it

SHELLS = ("bash", "zsh", "fish")
PLAIN = [
    "model=a,b",
    "model=openai/gpt-4o,vllm/Qwen/Qwen2.5-7B-Instruct",
    "model=http://localhost:8000/v1#ckpt-1,llamacpp/models/a.gguf",
    "model=mine@http://localhost:8000/v1#m",
    "judge=gpt4,claude",
    "model.qwen2.5-7b.sampling.temperature=0",
    "model.NAME.backend.base_url=http://a:8000/v1,http://b:8000/v1",
    "probes=position,verbosity",
    "ask_again=unparsed,refused",
]


def words_in(shell, script):
    """What a script prints in a shell without settings of a user's, line by line."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    options = {"bash": ["--norc", "-O", "extglob"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run([program, *options, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_needs_quotes(shell):
    assert words_in(shell, "printf '%s\\n' " + " ".join(PLAIN)) == PLAIN


@pytest.mark.parametrize("shell", SHELLS)
def test_every_mistake_below_reaches_evalkit_as_it_was_typed(shell):
    lines = [line for line, _ in MISTAKES]
    printed = words_in(shell, "\n".join(f"printf '%s\\n' evalkit {line}" for line in lines))
    assert printed == [word for line in lines for word in ("evalkit", *shlex.split(line))]


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_pages_show_no_brackets_that_a_shell_would_expand(page, request):
    text = (request.config.rootpath / page).read_text(encoding="utf-8")
    for line in re.findall(r"^evalkit .*$", text, re.MULTILINE):
        words = line.split("  #")[0].split()
        unquoted = [word for word in words if re.match(r"[\w.]+=.*\[[^|\]]*,", word) and f"'{word}'" not in line]
        assert not unquoted, line


# --- mistakes: exit code 2, one message, nothing written

MISTAKES = [
    # models and judges
    ("model=gpt-4o judge=fake", "no model 'gpt-4o'; say model=openai/gpt-4o"),
    ("model=o3-mini judge=fake", "say model=openai/o3-mini"),
    ("model=claude-sonnet-4-6 judge=fake", "say model=anthropic/claude-sonnet-4-6"),
    ("model=meta-llama/Llama-3-8B-Instruct judge=fake", "say model=vllm/meta-llama/Llama-3-8B-Instruct"),
    ("model=OpenAI/gpt-4o judge=fake", "say model=openai/gpt-4o"),
    ("model=mistral.gguf judge=fake", "say model=llamacpp/mistral.gguf"),
    ("model=localhost:8000/v1#m judge=fake", "say model=http://localhost:8000/v1#m"),
    ("model=localhost:8000 judge=fake", "say model=http://localhost:8000/v1#NAME"),
    ("model=http://localhost:8000/v1 judge=fake", "which model of that server? Write model=http://localhost:8000/v1#NAME"),
    ("model=openai/ judge=fake", "what follows openai/ is missing; ids are openai/ID"),
    ("model=gemini-2.5-pro judge=fake", "say model=https://generativelanguage.googleapis.com/v1beta/openai#gemini-2.5-pro"),
    ("model=openrouter/x/y judge=fake", "model.y.backend.api_key_env=OPENROUTER_API_KEY"),
    ("model=ollama/llama3 judge=fake", "say model=http://localhost:11434/v1#llama3"),
    ("model=gpt4 judge=fake", "'gpt4' is a judge; as a model say model=openai/gpt-4-0613"),
    ("model=fake judge=gpt-4", "no judge 'gpt-4'; did you mean 'gpt4'? By id: say judge=openai/gpt-4"),
    ("model=fake judge=openai_compatible", "as a judge say judge=http://HOST:PORT/v1#NAME"),
    ("model=fake judge=openai", "'openai' is a model; as a judge say judge=openai/gpt-4.1"),
    ("model=fake,smolm2 judge=fake", "no model 'smolm2'; did you mean 'smollm2'?"),
    ("model=fake,fake judge=fake", "'fake' is named twice"),
    ("model=openai/m,http://h/v1#m judge=fake", "would both be called 'm'; give one a name of its own: model=openai/m,OTHER@http://h/v1#m"),
    ("model=fake,http://h/v1#fake judge=fake", "would both be called 'fake'"),
    ("model=openai/gpt-4o judge=fake model.gpt4o.sampling.seed=1", "'gpt4o' does not take part; did you mean 'gpt-4o'?"),
    ("model=vllm/o/q2.5 judge=fake model.q2.5.sampling.sed=1", "model.q2.5.sampling: unknown key 'sed'; did you mean"),
    ("model=vllm/o/q2.5 judge=fake model.q2.5.samplng.seed=1", "unknown key 'samplng'"),
    ("model=openai/gpt-4o judge=fake model.gpt-4o.backend.api_key=x", "credential"),
    ("model=fake judge=fake judge.fake.scoring=logprobs", "judge.fake: unknown key 'scoring'"),
    ("model=fake judge=fake judge.fake.scoring=logprobs", "judge.fake.protocols.single.scoring=logprobs"),
    ("model=fake judge=fake protocol.top_logprobs=0", "protocol.top_logprobs=0: must be at least 1"),
    ("model=fake judge=fake model.fake.system_role=none", "model.fake.system_role='none' is not possible"),
    ("model=fake judge=fake model.fake.thinking_marks=x", "thinking_marks"),
    # the command line
    ("--model fake", "--model is no option: settings are written without dashes, model=fake"),
    ("--model=fake", "--model is no option: settings are written without dashes, model=fake"),
    ("model=fake judge=fake --limit 3", "--limit is no option: settings are written without dashes, limit=3"),
    ("model=fake judge=fake --fail-under 3", "--fail-under is no option here"),
    ("model=fake judge=fake --format json", "`evalkit leaderboard --format json"),
    ("model=fake judge=fake -o x.json", "-o is no option of a run"),
    ("model=fake judge=fake --mulitrun", "did you mean '--multirun'?"),
    ("model fake", "cannot read 'model'; settings are written key=value"),
    ("model=fake judge=fake limit=1,2", "'limit=1,2' names several values"),
    ("model=fake judge=fake protocol=single,pairwise", "names several values: give one, or -m before it"),
    ("model=fake judge=fake limt=3", "unknown key 'limt'; did you mean 'limit'?"),
    ("model=fake judge=fake modle.fake.price=free", "unknown key 'modle"),
    ("model=fake judge=fake ask_again=all_of_it", "is not possible"),
    ("model=fake judge=fake 'model=[fake'", "cannot read 'model=[fake'"),
    ("model=fake judge=fake temperature=0", "did you mean model.sampling.temperature=VALUE or judge.sampling.temperature=VALUE?"),
    ("model=fake judge=fake max_tokens=50", "did you mean model.sampling.max_tokens=VALUE or judge.sampling.max_tokens=VALUE?"),
    ("model=fake judge=fake system_prompt=hi", "did you mean model.system_prompt=VALUE or judge.system_prompt=VALUE?"),
    ("model=fake judge=fake stop_within=2", "did you mean run.stop_within=VALUE?"),
    ("model=fake judge=fake turns=prompt", "did you mean fields.turns=VALUE?"),
    ("model=fake judge=fake category=kind", "did you mean fields.category=VALUE?"),
    ("model=fake judge=fake usd=5", "did you mean budget.usd=VALUE?"),
    ("model=fake judge=fake name=nightly", "did you mean run.name=VALUE?"),
    ("model=fake judge=fake attempts=2", "did you mean retry.attempts=VALUE?"),
    ("model= judge=fake", "no model chosen; give model=NAME or model=NAME,NAME"),
    # budgets and limits
    ("model=fake judge=fake budget=", "write a number of US dollars without a sign, as in budget=5; a shell takes"),
    ("model=fake judge=fake 'budget=$5'", "without a sign, as in budget=5"),
    ("model=fake judge=fake budget=5usd", "without a sign, as in budget=5"),
    ("model=fake judge=fake budget=-1", "budget.usd=-1: must be at least 0"),
    ("model=fake judge=fake budget=ten", "budget.usd='ten': expected `float | null`"),
    ("model=fake judge=fake budget.tokens=1.5", "budget.tokens=1.5"),
    ("model=fake judge=fake budget.euro=1", "budget: unknown key 'euro'"),
    ("model=http://h:1/v1#m judge=fake budget=5 dry_run=false", "needs the price of 'm'"),
    ("model=fake judge=fake model.fake.caps.requests_per_minute=0", "must be more than 0"),
    ("model=fake judge=fake run.stop_within=-1", "must be at least 0"),
    # providers
    ("model=http://me:secret12345@h/v1#m judge=fake", "credential"),
    ("model=openai/x judge=fake dry_run=false", "no key for https://api.openai.com/v1: set the environment variable"),
    ("model=anthropic/x judge=fake dry_run=false", "ANTHROPIC_API_KEY"),
    ("model=llamacpp/none.gguf judge=fake dry_run=false", "no model file 'none.gguf'"),
    ("model=htp://h/v1#m judge=fake", "no model 'htp:"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_gets_one_message_that_helps(cli, tmp_path, line, message):
    code, out, err = cli(*RUN, *shlex.split(line))
    assert code == 2, err
    assert message in out + err
    assert "Traceback" not in err
    assert "hex_" not in err
    assert err.count("evalkit: ") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("line", [line for line, message in MISTAKES if message.startswith(("no model", "say model"))])
def test_what_is_advised_is_taken(cli, line):
    """Advice with a place to fill in aside, the command goes through as advised."""
    _, _, err = cli(*RUN, *shlex.split(line))
    advised = re.search(r"say (model=[^;,]+)", err)
    if advised is None or "NAME" in advised[1]:
        return
    rest = [word for word in shlex.split(line) if not word.startswith("model=")]
    assert cli(*RUN, *advised[1].split(), *rest, "--cfg", "job").code == 0


def test_there_are_enough_of_them():
    assert len(MISTAKES) >= 60


def test_evalkit_alone_says_what_there_is(cli):
    code, out, err = cli()
    assert code == 2
    assert "answer a benchmark, judge the answers" in out
    assert "error" not in err


def test_only_formats_that_can_be_written_are_offered(cli):
    for name in ("csv", "judgebench"):
        code, _, err = cli("export", name, "-o", "x")
        assert code == 2
        assert "formats that can: " in err
        assert "llmbar" not in err
        assert "battles" in err


def test_missing_keys_are_named_all_at_once(cli, tmp_path):
    code, _, err = cli("run", "pocket", "model=openai_compatible", "judge=fake")
    assert code == 2
    assert "backend.base_url and model.openai_compatible.backend.model are not set" in err
    folder = tmp_path / "bench"
    folder.mkdir()
    (folder / "benchmark.yaml").write_text("name: bench\ntitel: x\n")
    code, _, err = cli("run", "./bench", "model=fake", "judge=fake")
    assert code == 2
    assert (
        "missing are title, description, source, licence, questions, protocol, generation and unknown are titel" in err
    )


def test_a_file_that_ends_in_yml_sets_nothing_of_hydras(cli, tmp_path):
    folder = tmp_path / "own" / "model"
    folder.mkdir(parents=True)
    (folder / "evil.yml").write_text("# @package _global_\nhydra: {callbacks: {x: {_target_: os.system}}}\n")
    code, _, err = cli(*RUN, "model=evil", "judge=fake", "--config-dir", "own")
    assert code == 2
    assert "sets hydra.callbacks" in err
