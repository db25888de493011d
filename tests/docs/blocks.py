"""The code blocks of README and docs, and a project in which they run one after the other, as a reader would.

A page is run from its top in one temporary folder. What is done is by a block's language: ``sh``
commands are carried out, ``python`` is executed (all of a page in one namespace), ``yaml`` and ``json`` are parsed, and
written where the text before says "Put this into `FILE`:"; ``text`` is what a command prints, or a form to fill in.

Comments that readers do not see, right above a block or anywhere:

    <!-- not run: REASON -->     its commands are checked, and not carried out: keys, a GPU, the network, minutes
    <!-- before: COMMANDS -->    carried out when the page comes to it, a line each: what the reader has by then

Models and judges are stand-ins (``evalkit.backends.fake``) under the names that the page uses, and MT-Bench, whose
questions are fetched, is the benchmark that ships, ``pocket``.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evalkit.cli import grammar
from evalkit.cli.arguments import VERBS
from evalkit.cli.audit import asks
from evalkit.settings import members

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"sh", "python", "yaml", "json", "csv", "toml", "text", "bibtex", "latex"}
SERVERS = {"view", "label"}
"""Verbs that go on until they are stopped, but for their options that write files."""
ENDING = {"--export", "--votes", "--help"}
COMPOSED = {"run", "judge", "rejudge"}
"""Verbs whose settings Hydra composes; ``audit`` with a setting is one, too."""
CODES = {"gate": {0, 4, 5}}
"""Exit codes that are an answer, other than 0."""
EXTRAS = re.compile(r"^([\w-]+) = \[", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None
    """Where the reader is told to put it."""
    why_not: str | None
    """Why it is not run."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Shell commands, each on one line: those of ``sh``, and what a transcript shows after ``$``."""
        text = re.sub(r"\s*\\\n\s*", " ", self.text)
        lines = [line.strip() for line in text.splitlines()]
        if self.language == "text":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        elif self.language != "sh":
            return []
        return [one.strip() for line in lines if line and not line.startswith("#") for one in line.split(" && ")]


@dataclass(frozen=True)
class Before:
    """Commands that are carried out though the reader does not see them."""

    page: Path
    line: int
    commands: list[str]


def parts(page: Path) -> Iterator[Block | Before]:
    """The blocks of a page, and what is to be done before them, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("<!-- before:"):
            end = next(place for place in range(at, len(lines)) if lines[place].rstrip().endswith("-->"))
            text = "\n".join(lines[at : end + 1]).removeprefix("<!-- before:").rpartition("-->")[0]
            yield Before(page, at + 1, [one.strip() for one in text.splitlines() if one.strip()])
            at = end
        elif match := re.match(r"(\s*)```(\w*)", line):
            end = next(place for place in range(at + 1, len(lines)) if lines[place].strip() == "```")
            text = "\n".join(one.removeprefix(match[1]) for one in lines[at + 1 : end]) + "\n"
            above = [one for one in lines[max(0, at - 4) : at] if one.strip()]
            last = above[-1] if above else ""
            reason = re.fullmatch(
                r"\s*<!-- (?:not run: (?=.)|(?=tests|run))(.+) -->", last
            )  # .ci/run carries those two out
            told = re.search(
                r"(?:Put this into|and this into) `([^`]+)`:$", above[-2] if reason and len(above) > 1 else last
            )
            yield Block(page, at + 1, match[2], text, told and told[1], reason and reason[1])
            at = end
        at += 1


def blocks(page: Path) -> list[Block]:
    """The blocks of a page."""
    return [one for one in parts(page) if isinstance(one, Block)]


def words_of(command: str) -> list[str]:
    """The words of a command, as a shell takes them: a # within a word begins no remark."""
    return shlex.split(re.sub(r"(^|\s)#.*", "", command))


# --- what can be checked without carrying it out


def check(block: Block) -> list[str]:
    """What is wrong with a block as it stands: languages, data that cannot be parsed, commands that are not ours."""
    if block.language not in LANGUAGES:
        return [f"{block}: a block of language {block.language!r}; there are {', '.join(sorted(LANGUAGES))}"]
    if block.language == "python":
        compile(block.text, str(block), "exec")
    if block.language == "yaml":
        steps = [step for document in yaml.safe_load_all(block.text) for step in _steps(document)]
        commands = [step["run"].partition(" || ")[0] for step in steps if "run" in step]
        return [wrong for command in commands for wrong in checked(command, str(block))]
    if block.language == "toml":
        tomllib.loads(block.text)
    if block.language == "json":
        try:
            json.loads(block.text)
        except ValueError:  # an object a line
            for line in block.text.splitlines():
                json.loads(line)
    return [wrong for command in block.commands for wrong in checked(command, str(block))]


def _steps(document: Any) -> list[dict[str, Any]]:
    jobs = document.get("jobs", {}) if isinstance(document, dict) else {}
    return [step for job in jobs.values() for step in job["steps"]]


def checked(command: str, where: str) -> list[str]:
    """What is wrong with one command: a verb, an option or a key that there is not."""
    words = words_of(command)
    if not words:
        return []
    if words[:2] == ["pip", "install"]:
        there = set(EXTRAS.findall((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
        wanted = {
            one for word in words for found in re.findall(r"evalkit\[([\w,]+)\]", word) for one in found.split(",")
        }
        return [f"{where}: no extra {', '.join(wanted - there)}"] if wanted - there else []
    if Path(words[0]).name != "evalkit":
        return []
    verb, *rest = words[1:] or [""]
    if verb.startswith("-"):
        return []
    if verb not in VERBS:
        return [f"{where}: no verb {verb!r}"]
    known = grammar.grammar(verb, live=verb == "audit" and composed(verb, rest))
    wrong = [
        f"{where}: {verb} has no option {one}"
        for one in rest
        if one.startswith("--") and one.partition("=")[0] not in known.options
    ]
    heads = {key.partition(".")[0] for key in known.keys} | {"hydra", "hydra/launcher"}
    wrong += [
        f"{where}: {verb} has no key {one}"
        for one in rest
        if known.keys and re.match(r"[a-z_./]+=", one) and re.split(r"[.=]", one)[0] not in heads
    ]
    return wrong


def composed(verb: str, rest: list[str]) -> bool:
    """Whether the settings of this command are composed by Hydra."""
    return verb in COMPOSED or (verb == "audit" and asks(rest))


# --- a page's project


@dataclass
class Project:
    """A folder in which the blocks of one page run."""

    folder: Path
    cli: Callable[..., Any]
    names: dict[str, Any] = field(default_factory=dict)

    def carry_out(self, part: Block | Before) -> None:
        """Do what a block says, and see that it works."""
        if isinstance(part, Before):
            for command in part.commands:
                self.command(command, f"{part.page.name}:{part.line}")
            return
        if part.file is not None:
            path = self.folder / part.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(part.text, encoding="utf-8")
        if part.why_not is not None or part.language == "text":
            for command in part.commands:
                self.composes(command, str(part))
        elif part.language == "python":
            exec(compile(part.text, str(part), "exec"), self.names)
        else:
            for command in part.commands:
                self.command(command, str(part))

    def command(self, command: str, where: str) -> None:
        """Carry out one command of a page, on stand-ins."""
        words = words_of(command.replace("mtbench", "pocket"))
        if not words or words[:2] == ["pip", "install"]:
            return
        assert words[0] == "evalkit", f"{where}: {command!r} cannot be run; say why: <!-- not run: REASON -->"
        verb, *rest = words[1:]
        if verb in SERVERS and not ENDING & set(rest):
            return
        if composed(verb, rest):
            rest = self.with_stand_ins(verb, rest)
        ended = self.cli(verb, *rest)
        assert ended.code in CODES.get(verb, {0}), f"{where}: {command}\n{ended.out}\n{ended.err}"

    def composes(self, command: str, where: str) -> None:
        """See that Hydra can compose what one command says; nothing is asked."""
        words = words_of(command)
        if words[:2] != ["evalkit", "run"] or "--help" in words or any("hydra" in one for one in words):
            return
        ended = self.cli(*words[1:], "--cfg", "job")
        assert ended.code == 0, f"{where}: {command}\n{ended.err}"

    def with_stand_ins(self, verb: str, words: list[str]) -> list[str]:
        """The words of a command, models and judges by the names of stand-ins."""
        options = [one for one in words if one.startswith("--config-dir")]
        own = options[0].partition("=")[2] if options and "=" in options[0] else None
        if options and own is None:
            own = words[words.index("--config-dir") + 1]
        folder = Path(own or "stand-ins")
        changed = []
        for word in words:
            group, written, value = word.partition("=")
            if written and group in ("model", "judge"):
                named = [self.stand_in(folder, group, one) for one in value.strip("[]").split(",")]
                changed.append(f"{group}={','.join(named)}")
            else:
                changed.append(word)
        if verb == "run":
            for group, usual in (("model", "zephyr"), ("judge", "gpt4")):
                if not any(one.startswith(f"{group}=") for one in words):
                    changed.append(f"{group}={self.stand_in(folder, group, usual)}")
        return changed if own else [*changed, f"--config-dir={folder}"]

    def stand_in(self, folder: Path, group: str, name: str) -> str:
        """Write the YAML of a stand-in, unless the page has one of its own. Returns what it is chosen by."""
        own, at, _ = name.partition("@")
        short = own if at else re.split(r"[/#]", name)[-1].removesuffix(".gguf")
        chosen = f"{short}-stand-in" if short in members.shipped_names(group) else short  # what ships wins over files
        if name == "fake" or (self.folder / folder / group / f"{short}.yaml").is_file():
            return short
        path = self.folder / folder / group / f"{chosen}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        skill = 4 + sum(map(ord, short)) % 40 / 10
        node = {"_target_": "evalkit.backends.fake.Fake", "model": f"{group}-{short}", "skill": skill}
        path.write_text(yaml.safe_dump({short: {"backend": node, "price": "free"}}), encoding="utf-8")
        return chosen
