"""Which server a hosted backend talks to, which key goes along, and what an HTTP error of its means.

Shared by the backends that speak to a provider. The one rule about keys: a vendor's key goes to that vendor's own
hosts over https, and to nobody else; any other server gets the variable named by ``api_key_env``, or no key.
"""

from __future__ import annotations

import email.utils
import functools
import ipaddress
import math
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from evalkit.backends import rejections
from evalkit.backends.bounded import bound_response
from evalkit.core import secrets
from evalkit.core.protocols import Completion, EvalkitError, Misconfigured, RateLimit, Transport

NO_KEY = "none"
"""Sent where no key is needed: the SDKs refuse to send nothing."""

_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_RATE_HEADERS = ("x-ratelimit-{what}-{of}", "anthropic-ratelimit-{of}-{what}")


@dataclass(frozen=True)
class Vendor:
    """Who owns a wire format: its server, and the variables its SDK reads."""

    name: str
    url: str
    url_variable: str
    key_variable: str
    headers_variable: str

    def owns(self, url: str) -> bool:
        """True if ``url`` is the vendor's own server (or a regional one), reached over https."""
        host, parts = urlsplit(self.url).hostname, urlsplit(url)
        return parts.scheme == "https" and (parts.hostname == host or (parts.hostname or "").endswith(f".{host}"))


@dataclass(frozen=True)
class Endpoint:
    """A server, and the key it gets."""

    url: str
    key: str = field(repr=False)
    key_variable: str
    """The variable the key was, or would be, read from."""
    own: bool
    """It is the vendor's own server."""
    stray: tuple[str, ...] = ()
    """Headers the SDK would add from the environment that are not meant for this server."""

    @property
    def shown(self) -> str:
        """The URL as it may be printed: without its query, which can hold secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    @property
    def reached(self) -> str:
        """The server's address, with the proxy that stands before a server of one's own, where there is one."""
        return self.shown + _proxied(self.url)

    def scrubbed(self, detail: Detail) -> Detail:
        """What an error says, without the key."""
        return Detail(self.scrub(detail.message), detail.code, detail.param)

    def scrub(self, text: str) -> str:
        """``text`` without the key: some servers echo it."""
        return text if self.key == NO_KEY else secrets.without(self.key, text)


def _proxied(url: str) -> str:
    """Names the proxy that requests to an own server go through; most likely nobody meant that."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_public(host):
        return ""
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    at = urlsplit(proxy if "://" in proxy else f"//{proxy}")
    named = clean(f"{at.hostname}:{at.port or 80}")
    return f" (through the proxy {named} of the environment; NO_PROXY={host} goes past it)"


def is_public(host: str) -> bool:
    """Whether a host is somebody's on the internet, and none of this machine or network."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".svc"))


@dataclass(frozen=True)
class Address:
    """A base URL, taken apart as the SDKs want it."""

    url: str
    """Without query, and without the path of the call itself, which people copy along."""
    query: Mapping[str, str]
    """Sent with every request, as Azure's ``api-version``."""
    azure: bool
    """It is Azure's, which wants the key in a header of its own."""

    @classmethod
    def of(cls, url: str, calls: Iterable[str]) -> Address:
        """Read a URL; ``calls`` are paths that the SDK adds by itself."""
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        for call in calls:
            path = path.removesuffix(call).rstrip("/")
        host = parts.hostname or ""
        azure = host.endswith((".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"))
        return cls(urlunsplit((parts.scheme, parts.netloc, path, "", "")), dict(parse_qsl(parts.query)), azure)


def server_url(vendor: Vendor, base_url: str | None) -> str:
    """The URL in use: the config's, else the SDK's variable, else the vendor's."""
    return base_url or os.environ.get(vendor.url_variable) or vendor.url


def host_identity(vendor: Vendor, base_url: str | None) -> dict[str, str]:
    """The part of a URL that can change the text: whose servers run the model.

    Two public providers may serve one model name at different precision; but ports, paths and private addresses say
    where, not what, and moving one's own server must not make old rows stale.
    """
    url = server_url(vendor, base_url)
    host = urlsplit(url).hostname or ""
    if vendor.owns(url):
        return {}
    return {"provider": host if is_public(host) else "self-hosted"}


def account(vendor: Vendor, base_url: str | None, api_key_env: str | None) -> str:
    """Whose limits requests count towards: the server, and the variable its key is in."""
    return f"{server_url(vendor, base_url)} {api_key_env or vendor.key_variable}"


def resolve(vendor: Vendor, base_url: str | None, api_key_env: str | None) -> Endpoint:
    """Choose server and key. Raises Misconfigured where a needed key is not set."""
    url = server_url(vendor, base_url)
    source = "base_url" if base_url else vendor.url_variable
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise Misconfigured(
            f"{source} holds a user name or password: keep it out of the URL, and name its variable in api_key_env"
        )
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname or ""):
        raise Misconfigured(f"{source} {clean(url)!r} is not an http(s) URL: write it like http://localhost:8000/v1")
    own = vendor.owns(url)
    variable = api_key_env or vendor.key_variable
    key = (os.environ.get(variable) or "").strip() if own or api_key_env else NO_KEY
    if not key:
        raise Misconfigured(
            f"no key for {Endpoint(url, NO_KEY, variable, own).shown}: set the environment variable {variable}, "
            f"or use one that needs no key: model=smollm2, judge=smollm2"
        )
    if not (key.isascii() and key.isprintable()):
        raise Misconfigured(f"the key in {variable} holds characters that no HTTP header may carry: copy it again")
    lines = os.environ.get(vendor.headers_variable, "").split("\n") if base_url and not own else []
    stray = tuple(line.partition(":")[0].strip() for line in lines if ":" in line)
    return Endpoint(url, key, variable, own, stray)


def sdk_options(sdk: Any, endpoint: Endpoint, address: Address, *, timeout: float, concurrency: int) -> dict[str, Any]:
    """What both SDKs' clients are set up with, but for headers.

    Args:
        sdk: the module, ``openai`` or ``anthropic``.
        endpoint: which key goes along; given, so that the SDK looks for no other credential.
        address: of the server.
        timeout: seconds one request may take.
        concurrency: connections that are wanted at once.
    """
    import httpx2

    return {
        "api_key": endpoint.key,
        "base_url": address.url,
        "default_query": dict(address.query),
        "max_retries": 0,
        "timeout": sdk.Timeout(timeout, connect=min(30.0, timeout)),
        # A redirect would take the prompt, and custom headers, to a host nobody chose.
        "http_client": sdk.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=max(100, concurrency)),
            follow_redirects=False,
            verify=certificates(),
            event_hooks={"response": [bound_response]},
        ),
    }


def certificates() -> ssl.SSLContext:
    """Whose certificates are trusted, as httpx reads them, but once for all clients: it takes longer than a client."""
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _certificates(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a credential among the configured headers: the resolved config is written next to the results."""
    for name, value in headers.items():
        if re.search(r"authori[sz]ation|api[-_]?key|token|secret|cookie", name, re.IGNORECASE):
            raise Misconfigured(
                f"headers: {clean(name)!r} would put a credential into the recorded config: "
                f"name the variable that holds it in api_key_env"
            )
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not (value.isascii() and value.isprintable()):
            raise Misconfigured(f"headers: {clean(name)!r} or its value holds characters HTTP does not allow")


def clean(text: str, limit: int = 300) -> str:
    """``text`` as one short printable line."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True)
class Detail:
    """What the body of an error says, whichever dialect it is in."""

    message: str
    code: str = ""
    """Its ``code`` and ``type``, together."""
    param: str = ""

    @classmethod
    def read(cls, body: bytes) -> Detail:
        """Read ``{"error": {...}}``, vLLM's bare object, FastAPI's ``detail``, or plain text."""
        try:
            data = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            return cls(body[:4000].decode("utf-8", "replace"))
        return cls.of(data)

    @classmethod
    def of(cls, data: object) -> Detail:
        """Read the details from a decoded body, or from the ``error`` object inside it."""
        if isinstance(data, list) and data:  # Gemini's compatible endpoint wraps it
            data = data[0]
        inner = data.get("error", data) if isinstance(data, dict) else data
        if not isinstance(inner, dict):
            return cls(str(inner))
        message = inner.get("message") or inner.get("detail") or inner
        nested = inner.get("innererror")
        codes = [inner.get("code"), inner.get("type"), nested.get("code") if isinstance(nested, dict) else None]
        return cls(str(message), " ".join(map(str, codes)), str(inner.get("param") or ""))


_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
}
"""The HTTP status that goes with a type of error."""


def status_meant(error: object) -> int:
    """The HTTP status that an error object means which came with status 200; 500 where it says none."""
    said = error if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code"):
        code = str(said.get(name))
        if code.isascii() and code.isdecimal() and 400 <= int(code[:9]) < 600:
            return int(code)
    code = Detail.of(error).code
    return next((status for name, status in _STATUS.items() if name in code), 500)


def refusal(status: int, detail: Detail) -> Completion | None:
    """What a content filter's error is read as: a refusal to answer. None for any other error."""
    if not rejections.filtered(status, detail.message, detail.code):
        return None
    return Completion(text=clean(detail.message), finish="refusal")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def rate_limits(headers: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """What is left of the limits, where the server says so.

    OpenAI: ``x-ratelimit-remaining-requests``, resets like ``6m0.5s``; Anthropic:
    ``anthropic-ratelimit-requests-remaining``, resets as a time.
    """
    found = []
    kinds: tuple[Literal["requests", "tokens"], ...] = ("requests", "tokens")
    for of in kinds:
        for template in _RATE_HEADERS:
            left = _number(headers.get(template.format(of=of, what="remaining")))
            if left is not None:
                reset = _seconds(headers.get(template.format(of=of, what="reset")))
                limit = _number(headers.get(template.format(of=of, what="limit")))
                if reset is not None:
                    found.append(RateLimit(of, left, reset, limit))
                break
    return tuple(found)


def with_limits(completion: Completion, headers: Mapping[str, str]) -> Completion:
    """The completion, with what its headers say of rate limits."""
    limits = rate_limits(headers)
    return msgspec.structs.replace(completion, limits=limits) if limits else completion


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) and number >= 0 else None


def _seconds(value: str | None) -> float | None:
    """Seconds from now: a plain number, ``1h2m3.5s``, ``120ms``, or a point in time (RFC 3339)."""
    if value is None:
        return None
    if (number := _number(value)) is not None:
        return number
    if re.fullmatch(r"(?:[\d.]{1,20}(?:ms|h|m|s)){1,9}", value):
        parts = re.findall(r"([\d.]{1,20})(ms|h|m|s)", value)
        numbers = [_number(amount) for amount, _ in parts]
        units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
        return sum((number or 0.0) * units[unit] for number, (_, unit) in zip(numbers, parts, strict=True))
    try:
        return max(0.0, datetime.fromisoformat(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def http_error(
    status: int, detail: Detail, *, where: str, model: str, key: str | None, headers: Mapping[str, str] | None = None
) -> EvalkitError:
    """The error an HTTP status stands for, by who must act.

    Args:
        status: The HTTP status, or the ``code`` of an error object that came with status 200.
        detail: What the body says.
        where: The server, for people.
        model: The model asked for.
        key: Name of the variable that holds the key; None if no key was sent.
        headers: The response's, for Retry-After.
    """
    said = f"{where} answered {status}: {clean(detail.message)}"
    words = detail.message.lower()
    if "insufficient_quota" in detail.code or "credit balance is too low" in words or status == 402:
        behind = f"the account behind {key}" if key else "the account there"
        return Misconfigured(f"{said} - {behind} is out of credit; top it up, then run again to resume")
    if status in (400, 403, 404, 422) and rejections.about_logprobs(detail.message, detail.param):
        status = 400  # of a setting, whatever the number says
    elif status >= 500 and rejections.no_system(detail.message):
        status = 400  # of a chat template
    if status in (400, 413, 422) and "api key" not in words:
        return rejections.rejected(said, detail.message, detail.param)
    if status in (401, 403) or (status == 400 and "api key" in words):
        remedy = (
            f"check the key in {key} and that it may use model {model!r}"
            if key
            else "it was sent no key: put its key into an environment variable, and name that in the backend, as in "
            "backend.api_key_env=MY_KEY"
        )
        return Misconfigured(f"{said} - {remedy}")
    if status in (408, 409, 425, 429) or status >= 500:
        return Transport(said, retry_after=retry_after(headers or {}), status=status)
    if status == 404:
        return Misconfigured(
            f"model {model!r} not found at {where}: {clean(detail.message)} - check model and base_url"
            f"{_path_hint(where)}"
        )
    # Redirects are not followed (they would carry the key along); 405, 406, 415 ... mean it is another kind of server.
    to = f" (it points to {clean(headers['location'])})" if headers and "location" in headers else ""
    return Misconfigured(f"{said}{to} - that is not how a chat API answers; check base_url")


def _path_hint(where: str) -> str:
    """What is often wrong with the path of a base URL that nothing is found under."""
    return "" if urlsplit(where.split(" ", maxsplit=1)[0]).path.strip("/") else ", which mostly ends in /v1"


def server_error(
    endpoint: Endpoint, status: int, detail: Detail, *, model: str, headers: Mapping[str, str]
) -> EvalkitError:
    """The error of a server that was sent a key, which it may repeat in what it says, or in where it points."""
    said = endpoint.scrubbed(detail)
    safe = {name: endpoint.scrub(value) for name, value in headers.items()}
    key = None if endpoint.key == NO_KEY else endpoint.key_variable
    return http_error(status, said, where=endpoint.reached, model=model, key=key, headers=safe)


def unreachable(error: Exception, endpoint: Endpoint) -> EvalkitError:
    """No answer arrived: refused, reset, timed out. The cause at the end of the chain says which.

    The SDKs' own texts do not: openai 3.54's aiohttp adapter reports a dropped connection as a time-out.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, EvalkitError):  # raised while the response was read, and passed on by the SDK
        return cause
    what = endpoint.scrub(clean(str(cause), 200))
    never = isinstance(cause, OSError) and not isinstance(cause, (ConnectionResetError, BrokenPipeError, TimeoutError))
    message = f"no answer from {endpoint.reached}: {type(cause).__name__}{f': {what}' if what else ''}"
    return Transport(message, unreachable=never)
