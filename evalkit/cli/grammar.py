"""What each verb takes, read from the help text that it prints; kept in the cache, as reading takes a second.

The help text is all that verbs have in common, and the one place where all that they take is said.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evalkit import __version__
from evalkit.core.paths import cache_dir, inside, shipped

WIDE = "2000"
"""Columns in which no help text wraps."""
BAR = " | "
"""Between values that an option or key takes."""
HYDRA = {
    "--config-dir": ("DIR", "a folder of your own YAML"),
    "--cfg": ("job | hydra | all", "print the composed configuration; ask nothing"),
    "--multirun": ("", "a job for each of several values"),
    "-m": ("", "a job for each of several values"),
}
"""Options of verbs whose settings Hydra composes."""


class Option(NamedTuple):
    """An option of a verb."""

    value: str
    """What follows it, as the help text has it; empty where nothing does, or nothing that is known."""
    about: str

    def or_one_of(self, few: str) -> Option:
        """The option with further values, apart by bars."""
        values = [*self.value.split(BAR), *few.split(BAR)]
        return self._replace(value=BAR.join(dict.fromkeys(filter(None, values))))


class Grammar(NamedTuple):
    """What a verb takes."""

    options: Mapping[str, Option]
    positionals: tuple[str, ...]
    """Placeholders of what stands without a name, in order, or choices."""
    repeats: bool
    """The last of them may come several times."""
    keys: Mapping[str, Option]
    """Settings that are written ``key=value``."""
    settings: Mapping[str, tuple[str, ...]]
    """What may be set of one model or judge: keys by what stands before them (``sampling``), with ``=`` or ``.``."""
    values: Mapping[str, str]
    """Of such keys that take one of a few: which, by their last part."""


def grammar(verb: str, *, live: bool = False) -> Grammar:
    """What a verb takes.

    Args:
        verb: one of ``arguments.VERBS``.
        live: of ``audit``, its form that asks a judge.
    """
    name = f"{verb}-live" if live else verb
    path = cache_dir() / "completion" / f"{name}.json"
    stamp = [__version__, str(inside("")), _newest()]
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            return _of(kept["grammar"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not as we write it: made anew
    found = _read(verb, live=live)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_text(json.dumps({"stamp": stamp, "grammar": found._asdict()}), encoding="utf-8")
        written.replace(path)
    except OSError:
        pass  # a cache that cannot be written costs time alone
    return found


def _of(kept: Mapping[str, Any]) -> Grammar:
    return Grammar(
        {name: Option(*one) for name, one in kept["options"].items()},
        tuple(kept["positionals"]),
        kept["repeats"],
        {name: Option(*one) for name, one in kept["keys"].items()},
        {name: tuple(fields) for name, fields in kept["settings"].items()},
        kept["values"],
    )


def _newest() -> int:
    """When the newest module of the package was written, in nanoseconds: help texts are made of several."""
    return max(
        os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(inside(""))
        for name in names
        if name.endswith(".py")
    )


def _read(verb: str, *, live: bool = False) -> Grammar:
    text = help_text(verb, live=live)
    keys = dict(_keys(text))
    settings: dict[str, tuple[str, ...]] = {}
    few: dict[str, str] = {}
    if keys:
        if verb != "run" and "evalkit run --help" in text:
            keys = dict(_keys(help_text("run"))) | keys
        few, settings = _configured()
        keys = {name: one.or_one_of(few.get(name, "")) for name, one in (_yaml_keys() | keys).items()}
    usage = text.partition("\n\n")[0]
    options = dict(_options(text, usage if keys else ""))
    return Grammar(
        options, tuple(_positionals(text)), "..." in re.sub(r"key=value \.\.\.", "", usage), keys, settings, few
    )


def help_text(verb: str, *, live: bool = False) -> str:
    """What ``evalkit VERB --help`` prints, in lines of any length."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "evalkit", verb, *(["judge=NAME"] if live else []), "--help"]
    environment = os.environ | {"COLUMNS": WIDE, "NO_COLOR": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _section(text: str, *titles: str) -> list[str]:
    """The lines below these headings of the help text, or below any; each with those that go on with it."""
    lines: list[str] = []
    here = False
    for line in text.splitlines():
        if line and not line[0].isspace():
            here = line.endswith(":") and (not titles or line.rstrip(":") in titles)
        elif here and lines and line.startswith(" " * 8):
            lines[-1] += ("  " if "  " not in lines[-1].strip() else " ") + line.strip()
        elif here and line:
            lines.append(line)
    return lines


def _options(text: str, usage: str) -> Iterator[tuple[str, Option]]:
    """Options with a line of their own; and those of the usage line where settings are composed by Hydra."""
    for line in _section(text):  # groups of options have headings of their own
        if not (match := re.match(r"  (-\S.*?)(?:\s{2,}(.*))?$", line)):
            continue
        names = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", match[1])
        last = match[1].rpartition(names[-1])[2].strip()
        for name in names:
            yield name, Option(last, match[2] or "")
    if usage:
        yield from ((name, Option(*one)) for name, one in HYDRA.items())
        for name, value in re.findall(r"\[(--?[a-z][\w-]*) ([^\]]+)\]", usage):
            if name not in HYDRA:
                yield name, Option(value, "")


def _positionals(text: str) -> Iterator[str]:
    """Placeholders, or choices in their place."""
    lines = _section(text, "positional arguments")
    if not lines:  # a text of our own: what its usage has in capitals before the first key or option
        usage = re.match(r"usage: evalkit \w+((?: \[?[A-Z]+(?: \.\.\.)?\]?)*)", text)
        yield from dict.fromkeys(re.findall(r"[A-Z]+", usage[1] if usage else ""))
    for line in lines:
        if match := re.match(r"  (\S+)(?:\s{2,}(.*))?$", line):
            listed = match[2] or "" if match[1] == "FORMAT" else ""  # the help lists what there is
            yield match[1].strip("{}").replace(",", BAR) if match[1].startswith("{") else listed or match[1]


def _keys(text: str) -> Iterator[tuple[str, Option]]:
    for line in _section(text, "keys"):
        if not re.match(r"  [a-z]", line):
            continue
        for part in re.split(r"(?<!\s)\s{2,}+(?=[a-z_.]++=)", line.strip()):
            if match := re.match(r"([a-z_.]+)=(.*?)(?:\s{2,}(.*)|(?:, and .*))?$", part):
                about = re.sub(r"\s{2,}", ": ", (match[3] or "").partition(" an ID: ")[0])
                listed = about.replace(", ", BAR) if re.fullmatch(r"[a-z_]+(?:, [a-z_]+){3,}+", about) else ""
                yield match[1], Option(_shown(match[2]), about).or_one_of(listed)


def _shown(value: str) -> str:
    """A placeholder or choices; nothing of a number, for which there is no candidate."""
    return "" if re.fullmatch(r"N|USD|VALUE|\d+", value) else value


def _yaml_keys() -> dict[str, Option]:
    """All keys of a run, with what the comments of its YAML say of them."""
    keys: dict[str, Option] = {}
    group = ""
    for line in (shipped("conf") / "run.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("hydra:"):
            break
        if match := re.match(r"( *)(\w+):\s*([^#]*?)\s*(?:#\s*(.*))?$", line):
            inner, name, value, about = match.groups()
            if inner:
                keys[f"{group}.{name}"] = Option("", about or "")
            else:
                group = name
                if value:
                    keys[name] = Option("", about or "")
    for key in ("benchmark", "rubric_file", "defaults"):
        keys.pop(key, None)
    named = {"model": "who answers", "judge": "who judges", "protocol": "how it is judged", "rubric": "criteria"}
    return {**{key: Option("NAME", about) for key, about in named.items()}, **keys}


def _configured() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Values of keys that take one of a few, and what may be set of one model or judge."""
    import dataclasses
    import typing

    from evalkit.backends.llamacpp import LlamaCpp
    from evalkit.backends.openai import OpenAI
    from evalkit.backends.vllm import VLLM
    from evalkit.core.protocols import Caps, Sampling
    from evalkit.settings.config import Config, JudgeConfig

    values = {name: _few(hint) for name, hint in typing.get_type_hints(Config).items()}
    values |= {name: _few(hint) for name, hint in typing.get_type_hints(JudgeConfig).items() if name not in values}
    nested = {"sampling": Sampling.__struct_fields__, "caps": Caps.__struct_fields__}
    backends = {field.name: None for cls in (OpenAI, VLLM, LlamaCpp) for field in dataclasses.fields(cls)}
    nested["backend"] = tuple(name for name in backends if not name.startswith("_"))
    fields = [
        f"{name}." if name in nested or name == "protocols" else f"{name}=" for name in JudgeConfig.__struct_fields__
    ]
    settings = {name: tuple(f"{one}=" for one in inner) for name, inner in nested.items()}
    return {name: one for name, one in values.items() if one}, {"": tuple(fields), **settings}


def _few(hint: Any) -> str:
    """Values of a type that has a few: truth values and literals, alone, in a tuple, or with None."""
    import typing

    if hint is bool:
        return "true | false"
    if typing.get_origin(hint) is typing.Literal:
        return BAR.join(map(str, typing.get_args(hint)))
    return BAR.join(filter(None, map(_few, typing.get_args(hint))))
