"""A command line's ``key=value`` settings -> composed configurations, one a job.

Only this module and ``guarded_loader`` know Hydra.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from evalkit.core.protocols import EvalkitError, UsageError
from evalkit.core.secrets import scrub_config
from evalkit.settings import ids
from evalkit.settings.overrides import MemberNames, budget, quoted, structured, value_of, words

Kept = TypeVar("Kept")

OPTIONS_WITH_VALUE = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-dir",
    "-cd",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
)
SWITCHES = (
    "-h",
    "--help",
    "--hydra-help",
    "--version",
    "--resolve",
    "--run",
    "-r",
    "--multirun",
    "-m",
    "--shell-completion",
    "-sc",
    "--info",
    "-i",
    "--experimental-rerun",
)
"""Further options that Hydra takes."""
PRINTING = {"--cfg", "-c", "--info", "-i"}
"""Options that print configuration."""


REASONS = {1: "some items failed", 3: "its budget is reached", 4: "a gate failed"}
"""What exit codes say that no message came with."""


class JobFailed(EvalkitError):
    """A job that a launcher ran in another process did not end well.

    Attributes:
        code: its exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)  # both, so that it can be pickled
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options and overrides apart: Hydra's parser does not take them mixed."""
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("-"):
            options.append(argument)
            if argument in OPTIONS_WITH_VALUE:
                options.extend(value for value in [next(rest, None)] if value is not None)
        else:
            overrides.append(argument)
    return options, overrides


def check_options(arguments: list[str]) -> None:
    """Refuse options that are none of Hydra's, and say how it is written.

    Raises:
        UsageError: there is one.
    """
    from evalkit.settings.config import Config
    from evalkit.settings.conversion import near

    for position, argument in enumerate(arguments):
        name, written, value = argument.partition("=")
        if not re.match(r"--?[A-Za-z]", argument) or name in SWITCHES or name in OPTIONS_WITH_VALUE:
            continue
        key = name.lstrip("-").replace("-", "_")
        head = key.partition(".")[0]
        if head in Config.__struct_fields__ or head in ("probes", "turns", "of", "as"):
            after = arguments[position + 1 : position + 2]
            value = value if written else after[0] if after and not after[0].startswith("-") else "VALUE"
            raise UsageError(f"{name} is no option: settings are written without dashes, {key}={value}")
        if name in ("--format", "-o", "--output"):
            raise UsageError(
                f"{name} is no option of a run: it leaves leaderboard.json in its folder, and "
                "`evalkit leaderboard --format json|csv|md|latex|html` gives its table as data"
            )
        known = {"--cfg", "--config-dir", "--multirun", "--help"}
        raise UsageError(f"{name} is no option here{near(name, known)}; settings are written key=value")


def config_dir(options: list[str]) -> Path | None:
    """The folder of a user's own YAML, out of Hydra's options."""
    for position, option in enumerate(options):
        name, written, value = option.partition("=")
        if name in ("--config-dir", "-cd"):
            following = options[position + 1 : position + 2]
            return Path(value) if written else Path(following[0]) if following else None
    return None


def _for_hydra(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Hydra's options, and the settings in its own grammar.

    A member's field may be set though its YAML does not mention it: unknown ones are found when it is built.
    ``budget=5`` is short for ``budget.usd=5``.
    """
    from evalkit.settings import members
    from evalkit.settings.config import member_fields

    check_options(arguments)
    options, overrides = split(arguments)
    sweeping = bool({"-m", "--multirun"} & set(options))
    folder = config_dir(options)
    names = MemberNames(overrides, folder, sweeping=sweeping)
    if folder:
        members.check(folder, overrides)
    given = []
    for override in names.overrides:
        key, written, value = override.partition("=")
        if not written:
            given.append(override)
            continue
        if key == "budget":
            key, value = "budget.usd", budget(value)
        before = re.match(r"[+~]*", key)
        sign, bare = (before[0], key[before.end() :]) if before else ("", key)
        if bare == "rubric":  # conf/rubric/ would make it a group, without files
            bare = "rubric_file"
        if bare not in ids.GROUPS:
            value = value_of(bare, value, sweeping=sweeping)
        inside = re.match(r"(model|judge|protocol|fields|run|retry|budget|batch|ray)\.", bare)
        given.append(_readable("++" if inside and not sign else sign, names.key(bare, member_fields()), value))
    return options, given


def _readable(sign: str, key: str, value: str) -> str:
    """An override; a value that Hydra's grammar cannot read is text, as it was typed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    override = f"{sign}{key}={value}"
    if structured(value) or re.fullmatch(r"[\w./:@+-]*", value, re.ASCII):
        return override
    text = f"{sign}{key}={quoted(value)}"
    for form in (override, text):
        try:
            OverridesParser.create().parse_override(form)
        except HydraException:
            continue
        return form
    return override


def jobs(
    arguments: list[str],
    carry_out: Callable[[dict[str, Any]], int],
    *,
    failed: Callable[[EvalkitError], int],
    also: Iterable[str] = (),
) -> int:
    """Compose the configuration of every job and carry it out.

    Args:
        arguments: Hydra's own options and ``key=value`` settings.
        carry_out: what one job does with its configuration; returns its exit code.
        failed: told of a job's error; returns its exit code, and the jobs after it go on.
        also: keys that the verb takes besides those of a run, for messages.

    Returns:
        The highest exit code of all jobs; where a launcher ran them in other processes, that of the first to fail.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed and swallowed
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    from evalkit.core.paths import shipped
    from evalkit.settings import members

    options, given = _for_hydra(arguments)
    folder = config_dir(options)
    codes: list[int] = []
    parent = (platform.node(), os.getpid())

    @hydra.main(config_path=str(shipped("conf")), config_name="run", version_base="1.3")
    def job(composed: DictConfig) -> None:
        codes.append(0)
        try:
            _check_missing(sorted(OmegaConf.missing_keys(composed)))
            plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
            named = _protocol_named(_own_rubric(plain, folder))  # type: ignore[arg-type]
            codes.append(carry_out(_numbered(named, given)))
            reason = REASONS.get(codes[-1], "")
        except (EvalkitError, OmegaConfBaseException) as error:
            told = error if isinstance(error, EvalkitError) else UsageError(_message(error))
            codes.append(failed(told))
            reason = str(told)
        if codes[-1] and (platform.node(), os.getpid()) != parent:  # a launcher takes nothing home but an exception
            raise JobFailed(f"{_label(given)}: {reason}", codes[-1])

    sys.argv = ["evalkit run", *options, *given]
    try:
        with _printed_config() if PRINTING & set(options) else contextlib.nullcontext(), _guarded_hydra():
            job()
    except JobFailed as error:
        failed(error)
        return error.code
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(_message(error, also)) from error
    except YAMLError as error:  # of a file that a chosen one builds on
        raise UsageError(members.complaint(error)) from error
    except ValueError as error:  # of Hydra's own, for `model=null`; or of a launcher's
        if codes:
            raise
        named = "model, judge and protocol are chosen by name: model=NAME or model=NAME,NAME"
        text = " ".join(str(error).split())
        raise UsageError(f"{named} ({text})" if "Config group" in text else text) from error
    return max(codes, default=0)


def _kept(found: list[Kept], one: Kept) -> int:
    found.append(one)
    return 0


def composed(arguments: list[str]) -> dict[str, Any]:
    """Compose the configuration of one job, for programs that call this one: nothing of the process is changed.

    Args:
        arguments: ``key=value`` settings, and Hydra's option ``--config-dir``.

    Raises:
        UsageError: they make no configuration.
    """
    found: list[dict[str, Any]] = []
    errors: list[EvalkitError] = []
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    try:
        jobs(arguments, partial(_kept, found), failed=partial(_kept, errors))
    finally:
        sys.argv = argv
        if full is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
    if errors:
        raise errors[0]
    return found[0]


@contextlib.contextmanager
def _guarded_hydra() -> Iterator[None]:
    """Let Hydra compose with the loader that refuses settings of Hydra's own; it offers no other place to say so.

    Hydra would also compose everything twice, the first time to find ``hydra.mode``, which only an override can set.
    """
    from importlib import import_module

    from evalkit.settings.guarded_loader import GuardedLoader

    internal: Any = import_module("hydra._internal.hydra")
    loader, mode = internal.ConfigLoaderImpl, internal.Hydra.get_mode

    def get_mode(hydra: Any, config_name: str | None, overrides: list[str]) -> Any:
        asked = any(override.lstrip("+").startswith("hydra.mode") for override in overrides)
        return mode(hydra, config_name, overrides) if asked else None

    internal.ConfigLoaderImpl, internal.Hydra.get_mode = GuardedLoader, get_mode
    try:
        yield
    finally:
        internal.ConfigLoaderImpl, internal.Hydra.get_mode = loader, mode


def _own_rubric(plain: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """A job's configuration, with a rubric of the user's own folder by its path."""
    name = plain.get("rubric_file")
    path = folder / "rubric" / f"{name}.yaml" if folder and isinstance(name, str) else None
    return {**plain, "rubric_file": str(path)} if path is not None and path.is_file() else plain


def _protocol_named(plain: dict[str, Any]) -> dict[str, Any]:
    """A job's configuration, its protocol under the name of the file that was chosen."""
    from hydra.core.hydra_config import HydraConfig

    from evalkit.settings.targets import named_protocol

    choice = HydraConfig.get().runtime.choices.get("protocol")
    node = plain.get("protocol")
    if not isinstance(node, dict) or not isinstance(choice, str):
        return plain
    return {**plain, "protocol": named_protocol(node, choice)}


def _numbered(plain: dict[str, Any], given: list[str]) -> dict[str, Any]:
    """A job's configuration; one ``run.name`` given for all of several jobs gets the job's number."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra, run = HydraConfig.get(), plain.get("run")
    if not isinstance(run, dict) or hydra.mode != RunMode.MULTIRUN or f"++run.name={run.get('name')}" not in given:
        return plain
    return {**plain, "run": {"name": f"{run['name']}-{hydra.job.num}"}}


def _label(given: list[str]) -> str:
    """One of several jobs, by its number and the settings in which it differs from the others."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    own = [setting.lstrip("+") for setting in hydra.overrides.task if setting not in given]
    return f"job {hydra.job.num} ({ids.shown(' '.join(own))})" if own else f"job {hydra.job.num}"


@contextlib.contextmanager
def _printed_config() -> Iterator[None]:
    """Print what Hydra prints, without the credentials that a user's own YAML may hold."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        sys.stdout.write(scrub_config(printed.getvalue()))


def _message(error: Exception, also: Iterable[str] = ()) -> str:
    """Hydra's complaint in our form: what was wrong, what there is, what to do."""
    from hydra.errors import OverrideParseException

    from evalkit.settings import members

    missing = getattr(error, "missing_cfg_file", None)
    if missing and str(missing).startswith(tuple(f"{group}/" for group in members.GROUPS)):
        group, _, name = str(missing).partition("/")
        return f"no {group} {name!r}{_nearest(group, name, getattr(error, 'options', None) or ())}"
    text = ids.shown(" ".join(str(error).split("\nSee ")[0].split()))
    if key := getattr(error, "full_key", None):
        return f"{ids.shown(key)}: {text}"
    if isinstance(error, OverrideParseException):
        override = ids.shown(error.override.lstrip("+"))
        return f"cannot read {override!r}; settings are written key=value, lists key=a,b; see `evalkit run --help`"
    if match := re.match(r"Ambiguous value for argument '(.*?)'", text):
        return (
            f"{match[1]!r} names several values: give one, or -m before it, which runs one job for each; what takes "
            "several is in `evalkit run --help`"
        )
    match = re.search(r"Could not override '([^']+)'", text)
    return _unknown_key(match[1], also) if match else text


def _nearest(group: str, name: str, options: Iterable[str]) -> str:
    """What to say instead of a name that no YAML has, as the end of a message."""
    from evalkit.settings import members
    from evalkit.settings.conversion import near

    there = [option for option in options if not option.startswith("hex_")] or members.shipped_names(group)
    if group not in ids.GROUPS:
        return near(name, there)
    other = "judge" if group == "model" else "model"
    advice = ids.advice(name, group, {each: members.shipped_node(other, each) for each in members.shipped_names(other)})
    like = near(name, there)
    by_id = f"; {advice}" if advice else ""
    if like.startswith("; did you mean"):
        return like.replace("? There", f"?{' By id:' + by_id[1:] + '.' if by_id else ''} There", 1)
    return f"{by_id}{like}"


def _check_missing(keys: list[str]) -> None:
    """Name every value that a YAML leaves to the user, at once."""
    if keys:
        are = "are" if len(keys) > 1 else "is"
        raise UsageError(f"{words(keys)} {are} not set; give {' '.join(f'{key}=VALUE' for key in keys)}")


def _unknown_key(key: str, also: Iterable[str]) -> str:
    from evalkit.settings.config import Config
    from evalkit.settings.conversion import near

    if key in Config.__struct_fields__:
        return f"{key} takes another kind of value; see `evalkit run --help`"
    if places := [f"{place}=VALUE" for place in _places(key, Config)]:
        return f"unknown key {key!r}; did you mean {' or '.join(places)}?"
    return f"unknown key {key!r}{near(key, {*Config.__struct_fields__, *also})}"


def _places(key: str, kind: Any, within: str = "") -> Iterator[str]:
    """Where a setting of that name is, in full, as in ``model.sampling.temperature``."""
    from evalkit.settings.conversion import fields_of

    for name, inner in fields_of(kind).items():
        if name == key and within:
            yield f"{within}{name}"
        for part in (inner, *typing.get_args(inner)):
            yield from _places(key, part, f"{within}{name}.")
