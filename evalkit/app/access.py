"""Who may use the local pages, and from where: a token in the link, the Host and Origin of each request, and headers.

No page is given to a request that names another host (a name that was made to point here), comes from another site's
page, or holds no token. Headers forbid every script but the page's own files, every frame, and every request elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ORGANISER: Final = ""
"""The role of who started the server."""
LONGEST_BODY: Final = 1 << 18
"""Bytes of a form."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without a referrer, browsers send forms with Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """The links that are given out, and the hosts they name.

    Args:
        host: the address listened on.
        port: likewise.
        secret: signs tokens; links stay good for as long as it is the same.
    """

    host: str
    port: int
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def token(self, role: str = ORGANISER) -> str:
        """What proves a role: the organiser's, or an annotator's name."""
        named = base64.urlsafe_b64encode(role.encode()).decode().rstrip("=")
        return f"{named}.{self._signature('token', role)}"

    def role(self, token: str) -> str | None:
        """Whose token it is; None if it is nobody's."""
        named, _, signature = token.partition(".")
        try:
            role = base64.urlsafe_b64decode(named + "=" * (-len(named) % 4)).decode()
        except ValueError:
            return None
        known = self._signature("token", role).encode()
        return role if hmac.compare_digest(known, signature.encode("utf-8", "replace")) else None

    def form_token(self, role: str) -> str:
        """What a form of this role must bring along."""
        return self._signature("form", role)

    def good_form(self, role: str, given: str) -> bool:
        """Whether a form came from a page of ours."""
        return hmac.compare_digest(self.form_token(role).encode(), given.encode("utf-8", "replace"))

    def _signature(self, purpose: str, text: str) -> str:
        return hmac.new(self.secret, f"{purpose} {text}".encode(), hashlib.sha256).hexdigest()[:32]

    @property
    def cookie(self) -> str:
        """Name of the cookie; it holds the port, as cookies do not tell ports apart."""
        return f"evalkit-{self.port}"

    def link(self, path: str = "/", role: str = ORGANISER, host: str | None = None) -> str:
        """An address that lets a role in."""
        named = host or (self.host if not _everywhere(self.host) else "127.0.0.1")
        return f"http://{f'[{named}]' if ':' in named else named}:{self.port}{path}?token={self.token(role)}"

    def good_host(self, header: str) -> bool:
        """Whether a Host header names this server: by its own name, or by a number, which cannot be rebound."""
        try:
            parts = urlsplit(f"//{header}")
            named, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self.port or parts.username is not None:
            return False
        if named in ("localhost", self.host.lower()):
            return True
        try:
            address = ipaddress.ip_address(named)
        except ValueError:
            return False
        return address.is_loopback or _everywhere(self.host) or str(address) == self.host


def _everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")


def check_host(host: str) -> str:
    """An address to listen on.

    Raises:
        UsageError: it is none.
    """
    if not host or (any(char in host for char in "/:@ ") and not _is_address(host)):
        raise UsageError(f"--host {host!r} is no address or name of this machine, as 127.0.0.1 or 0.0.0.0 is")
    return host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Guarded:
    """An application behind the checks above. Puts the role into ``scope["state"]``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        sending = _with_headers(send)
        if why := self._refusal(scope, headers):
            await _text(sending, 403, why)
            return
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = next((value for name, value in given if name == "token"), "")
        if scope["method"] == "GET" and self._access.role(token) is not None:
            rest = urlencode([(name, value) for name, value in given if name != "token"])
            path = quote(scope["path"]) + (f"?{rest}" if rest else "")
            cookie = f"{self._access.cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
            await _text(sending, 303, "", {"Location": path, "Set-Cookie": cookie})
            return
        role = self._access.role(self._cookie(headers.get("cookie", "")))
        if role is None:
            await _text(
                sending, 403, "This page needs the link that evalkit printed when it began: it holds a token.\n"
            )
            return
        scope.setdefault("state", {})["role"] = role
        await self._app(scope, _limited(receive), sending)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str:
        """Why a request is not even looked at; empty if it is."""
        host = headers.get("host", "")
        if not self._access.good_host(host):
            return f"This server does not answer to the name {host[:100]!r}.\n"
        changes = scope["method"] not in ("GET", "HEAD")
        origin = headers.get("origin")
        if (origin is not None or changes) and origin != f"http://{host}":
            return "This request came from another site's page.\n"
        if changes and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "This request came from another site's page.\n"
        if int(headers.get("content-length", "0") or 0) > LONGEST_BODY:
            return "This form is too long.\n"
        return ""

    def _cookie(self, header: str) -> str:
        try:
            found = SimpleCookie(header).get(self._access.cookie)
        except CookieError:
            return ""
        return found.value if found else ""


def _limited(receive: Receive) -> Receive:
    """The body of a request, broken off where it is too long."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > LONGEST_BODY else message

    return limited


def _with_headers(send: Send) -> Send:
    extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name for name, _ in extra}
            kept: Iterable[tuple[bytes, bytes]] = message.get("headers", [])
            message = {**message, "headers": [*(one for one in kept if one[0].lower() not in named), *extra]}
        await send(message)

    return sending


async def _text(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    listed = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
    encoded = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in listed.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})
