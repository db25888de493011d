"""Keys: read from the environment or a ``.env`` file, and kept out of everything evalkit writes or prints.

A secret is the value of an environment variable whose name says so (``OPENAI_API_KEY``, ``HF_TOKEN``, ...), or that a
setting ``api_key_env`` names.
``scrub`` takes every such value out of a text; messages, tracebacks and log lines go through it. What looks like a
credential in the configuration is refused before anything is written: the configuration is recorded with the results.
"""

from __future__ import annotations

import base64
import functools
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

CREDENTIAL = (
    "{where} holds a credential, and the configuration is recorded with the results: put the key into an environment "
    "variable or a .env file, and name that variable in api_key_env"
)
"""The message for a setting that was refused."""
HIDDEN = "***"
SHORTEST = 8
"""Characters; a shorter value is no key, and taking it out of texts would garble them."""

_SECRET_NAME = re.compile(r"(^|_)(API)?(KEY|TOKEN|SECRET|PASSWORD|CUSTOM_HEADERS)(_|$)", re.IGNORECASE)
_NAMED = "EVALKIT_SECRET_VARIABLES"
"""The variable that lists those an ``api_key_env`` names; in the environment, so that child processes know them too."""
_NO_KEY_VARIABLE = re.compile(r"(LD|DYLD|PYTHON|EVALKIT)_?.*|.*PATH|HOME|SHELL|USER", re.IGNORECASE)
"""Variables that steer programs: naming one as a key's neither reads it from a file nor makes it a secret."""
_FROM_FILE = re.compile(r"[A-Za-z]\w*_(KEY|TOKEN|BASE_URL)")
"""Variables a ``.env`` file may set; all others in it are other programs'."""
_CREDENTIAL_NAME = re.compile(
    r"(.*[-_])?(api[-_]?key|key|token|access[-_]?token|secret|password|authori[sz]ation|cookie|credentials?)",
    re.IGNORECASE,
)
_LIKE_A_KEY = re.compile(
    r"(?:Bearer|Basic) (?=\S*\d)\S{8,}"
    r"|(?<![A-Za-z0-9])(?:sk-|gsk_|xai-|hf_|AIza)(?=[A-Za-z_-]{0,200}+\d)[A-Za-z0-9_-]{16,}+"
)
_ALL_A_KEY = re.compile(r"(?:Bearer|Basic) \S{8,}")
_IN_URL = re.compile(
    r"(?<=://)[^\s/?#@]+@|(?<=[?&])(?:api[-_]?key|key|(?:access[-_]?)?token|sig|secret|password)=[^\s&#'\"]+",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"(?<![\w.-])([\w.-]++)['\"]?\s*+:\s*+['\"]?([^\s,}\]'\"]++)")
"""Of a dictionary, as a command line spells it."""


def load_env_file(path: Path = Path(".env")) -> None:
    """Set the keys and base URLs that a ``.env`` file gives and the environment does not.

    Raises:
        OSError, ValueError: the file cannot be read, or is not text.
    """
    if not path.is_file():
        return
    import dotenv

    for name, value in dotenv.dotenv_values(path, interpolate=False).items():
        if value and _FROM_FILE.fullmatch(name):
            os.environ.setdefault(name, value)


def keep_named(value: Any, path: Path = Path(".env")) -> None:
    """Make secrets of the variables that ``api_key_env`` names anywhere in a configuration; ``.env`` may hold them.

    Raises:
        OSError, ValueError: the file cannot be read, or is not text.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "api_key_env" and isinstance(inner, str):
                _keep_variable(inner, path)
            else:
                keep_named(inner, path)
    elif isinstance(value, list | tuple):
        for inner in value:
            keep_named(inner, path)


def _keep_variable(name: str, path: Path) -> None:
    if _SECRET_NAME.search(name) or not re.fullmatch(r"[A-Za-z_]\w*", name) or _NO_KEY_VARIABLE.fullmatch(name):
        return
    if name not in os.environ and path.is_file():
        import dotenv

        if found := dotenv.dotenv_values(path, interpolate=False).get(name):
            os.environ[name] = found
    listed = os.environ.get(_NAMED, "").split()
    if name in os.environ and name not in listed:
        os.environ[_NAMED] = " ".join([*listed, name])


def scrub(text: str) -> str:
    """``text`` without the secrets of the environment: as they are, URL-encoded, or in base64."""
    named = os.environ.get(_NAMED, "").split()
    return _hidden(tuple(v for name, v in os.environ.items() if _SECRET_NAME.search(name) or name in named), text)


def without(secret: str, text: str) -> str:
    """``text`` without one secret, in any of these forms; as it stands, however short it is."""
    return _hidden((secret,), text).replace(secret, HIDDEN)


def without_bytes(secret: str, raw: bytes) -> bytes:
    """A body as it arrived, without one secret in any of its forms."""
    for form in _forms((secret,)):
        raw = raw.replace(form.encode("utf-8", "surrogateescape"), HIDDEN.encode())
    return raw.replace(secret.encode("utf-8", "surrogateescape"), HIDDEN.encode())


def _hidden(values: tuple[str, ...], text: str) -> str:
    for form in _forms(values):
        text = text.replace(form, HIDDEN)
    return text


@functools.lru_cache(maxsize=8)
def _forms(values: tuple[str, ...]) -> tuple[str, ...]:
    """How secrets, given as the values of variables, may be written; longer ones first, as one may hold another."""
    forms = set()
    for value in values:
        headers = [line.partition(":")[2] for line in value.splitlines()]
        for secret in (value.strip(), *(word for line in headers for word in line.split())):
            if len(secret) >= SHORTEST:
                spelt = {quote(secret, safe=""), quote_plus(secret), quote(secret), _percent(secret)}
                forms |= {secret, repr(secret)[1:-1], *spelt}
                forms |= {re.sub("%..", lambda code: code[0].lower(), text) for text in spelt}
                forms.update(_base64(secret.encode("utf-8", "surrogateescape")))
    return tuple(sorted(forms, key=len, reverse=True))


def _percent(secret: str) -> str:
    """Every byte percent-encoded, also those that need not be."""
    return "".join(f"%{byte:02X}" for byte in secret.encode("utf-8", "surrogateescape"))


def _base64(secret: bytes) -> Iterator[str]:
    """What every base64 text holds that encodes ``secret`` at any place, in both alphabets."""
    for shift, first in ((0, 0), (1, 2), (2, 3)):  # the first characters depend on what goes before
        whole = len(secret) - (shift + len(secret)) % 3  # the characters behind depend on what follows
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * shift + secret[:whole]).decode()[first:]


def credential_in_arguments(arguments: Iterable[str]) -> str | None:
    """The ``key=value`` setting on a command line that holds a credential; never its value."""
    arguments = list(arguments)
    for argument in arguments:
        setting, _, value = argument.lstrip("+~").partition("=")
        keep_named({setting.rpartition(".")[2]: value})
        keep_named([{"api_key_env": inner} for name, inner in _ENTRY.findall(value) if name == "api_key_env"])
    for argument in arguments:
        setting, equals, value = argument.lstrip("+~").partition("=")
        entries = _ENTRY.findall(value) if value.startswith(("{", "[")) else []
        named = any(_is_credential(name, inner) for name, inner in [(setting.rpartition(".")[2], value), *entries])
        if equals and (named or _holds_credential(value) or any(_holds_credential(inner) for _, inner in entries)):
            return setting
    return None


def credential_in_config(value: Any, where: str = "") -> str | None:
    """The setting in a composed configuration that holds a credential; never its value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            place = f"{where}.{name}".lstrip(".")
            if isinstance(inner, str) and _is_credential(str(name), inner):
                return place
            if found := credential_in_config(inner, place):
                return found
    elif isinstance(value, list | tuple):
        return next(filter(None, (credential_in_config(inner, where) for inner in value)), None)
    elif isinstance(value, str) and _holds_credential(value):
        return where
    return None


def _is_credential(name: str, value: str) -> bool:
    """Whether a setting of this name is a credential; names of variables (``api_key_env``) and numbers are none."""
    return bool(value) and not value.isdigit() and value != "null" and bool(_CREDENTIAL_NAME.fullmatch(name))


def _holds_credential(value: str) -> bool:
    like = _IN_URL.search(value) or _LIKE_A_KEY.search(value) or _ALL_A_KEY.fullmatch(value.strip())
    return bool(like) or scrub(value) != value


def scrub_config(text: str) -> str:
    """A configuration as YAML, as it may be printed: also without what only looks like a credential."""
    keep_named([{"api_key_env": name} for name in re.findall(r"api_key_env: ['\"]?(\w+)", text)])
    return "".join(map(_without_credential, scrub(text).splitlines(keepends=True)))


def _without_credential(line: str) -> str:
    name, colon, value = line.partition(":")
    if colon and _is_credential(name.strip(" -'\""), value.strip()):
        return f"{name}: {HIDDEN}\n"
    return _LIKE_A_KEY.sub(HIDDEN, _IN_URL.sub(HIDDEN, line))


class _Scrubbed(logging.Formatter):
    """What is logged where nobody listens ends up on standard error."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def guard_output() -> None:
    """From now on tracebacks and stray log lines of this process come without secrets."""

    def hook(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = hook
    threading.excepthook = lambda caught: hook(caught.exc_type, caught.exc_value, caught.exc_traceback)
    sys.unraisablehook = lambda caught: hook(caught.exc_type, caught.exc_value, caught.exc_traceback)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Scrubbed())
