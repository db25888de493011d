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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from evalkit.core.protocols import EvalkitError, UsageError
from evalkit.core.secrets import scrub_config

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


def config_dir(options: list[str]) -> Path | None:
    """The folder of a user's own YAML, out of Hydra's options."""
    for position, option in enumerate(options):
        name, written, value = option.partition("=")
        if name in ("--config-dir", "-cd"):
            following = options[position + 1 : position + 2]
            return Path(value) if written else Path(following[0]) if following else None
    return None


def quoted(path: str) -> str:
    """A path as Hydra's grammar takes it."""
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return path if re.fullmatch(r"[\w./~-]+", path) else f"'{escaped}'"


def _forced(override: str) -> str:
    """Let a member's field be set though its YAML does not mention it; unknown ones are found when it is built.

    ``budget=5`` is short for ``budget.usd=5``.
    """
    override = re.sub(r"^budget=", "budget.usd=", override)
    override = re.sub(
        r"^(\+*)rubric=", r"\1rubric_file=", override
    )  # conf/rubric/ would make it a group, without files
    inside = re.match(r"(model|judge|protocol|fields|run|retry|budget|batch|ray)\.", override)
    return f"++{override}" if inside else override


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

    options, overrides = split(arguments)
    members.check_once(overrides)
    if folder := config_dir(options):
        members.check(folder, overrides)
    given = list(map(_forced, overrides))
    codes: list[int] = []
    parent = (platform.node(), os.getpid())

    @hydra.main(config_path=str(shipped("conf")), config_name="run", version_base="1.3")
    def job(composed: DictConfig) -> None:
        codes.append(0)
        try:
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
        named = "model, judge and protocol are chosen by name: model=NAME or model=[NAME,NAME]"
        text = " ".join(str(error).split())
        raise UsageError(f"{named} ({text})" if "Config group" in text else text) from error
    return max(codes, default=0)


@contextlib.contextmanager
def _guarded_hydra() -> Iterator[None]:
    """Let Hydra compose with the loader that refuses settings of Hydra's own; it offers no other place to say so."""
    from importlib import import_module

    from evalkit.settings.guarded_loader import GuardedLoader

    internal: Any = import_module("hydra._internal.hydra")
    original = internal.ConfigLoaderImpl
    internal.ConfigLoaderImpl = GuardedLoader
    try:
        yield
    finally:
        internal.ConfigLoaderImpl = original


def _own_rubric(plain: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """A job's configuration, with a rubric of the user's own folder by its path."""
    name = plain.get("rubric_file")
    path = folder / "rubric" / f"{name}.yaml" if folder and isinstance(name, str) else None
    return {**plain, "rubric_file": str(path)} if path is not None and path.is_file() else plain


def _protocol_named(plain: dict[str, Any]) -> dict[str, Any]:
    """A job's configuration, its protocol under the name of the file that was chosen."""
    from hydra.core.hydra_config import HydraConfig

    from evalkit.settings.config import named_protocol

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
    return f"job {hydra.job.num} ({' '.join(own)})" if own else f"job {hydra.job.num}"


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
    from omegaconf.errors import MissingMandatoryValue

    from evalkit.settings.config import near

    missing = getattr(error, "missing_cfg_file", None)
    if missing and getattr(error, "options", None):
        group, _, name = str(missing).rpartition("/")
        return f"no {group} {name!r}{near(name, error.options)}"  # type: ignore[attr-defined]
    text = " ".join(str(error).split("\nSee ")[0].split())
    if key := getattr(error, "full_key", None):
        return f"{key} is not set; give {key}=VALUE" if isinstance(error, MissingMandatoryValue) else f"{key}: {text}"
    if isinstance(error, OverrideParseException):
        override = error.override.lstrip("+")
        return f"cannot read {override!r}; settings are written key=value, lists key=[a,b]; see `evalkit run --help`"
    if match := re.match(r"Ambiguous value for argument '(.*?)'", text):
        return f"{match[1]!r} names several values: -m runs one job for each, key=[a,b] takes them together"
    match = re.search(r"Could not override '([^']+)'", text)
    return _unknown_key(match[1], also) if match else text


def _unknown_key(key: str, also: Iterable[str]) -> str:
    from evalkit.settings.config import Config, near

    if key in Config.__struct_fields__:
        return f"{key} takes another kind of value; see `evalkit run --help`"
    return f"unknown key {key!r}{near(key, {*Config.__struct_fields__, *also})}"
