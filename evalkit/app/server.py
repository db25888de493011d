"""The local server of `view` and `label`: a port, an application behind its checks, and pages from templates."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from evalkit.app.access import Access, Guarded
from evalkit.app.answer_html import as_written, rendered, visible
from evalkit.core.protocols import EvalkitError, UsageError

if TYPE_CHECKING:
    import jinja2
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

STYLES: Final = ("page.css", "app.css")
SCRIPTS: Final = ("app.js", "table.js", "label.js")
TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def asset(name: str) -> str:
    """A style sheet or script of the pages.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    if name == "page.css":  # what the pages that reports write have, too
        return (resources.files("evalkit.reports") / name).read_text(encoding="utf-8")
    if name not in (*STYLES, *SCRIPTS):
        raise FileNotFoundError(name)
    return (resources.files("evalkit.app") / "static" / name).read_text(encoding="utf-8")


@cache
def templates() -> jinja2.Environment:
    """The templates; everything they print is escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("evalkit.app"), jinja2.FunctionLoader(_of_reports)]),
        finalize=_finalized,
    )
    environment.filters |= {
        "rendered": rendered,
        "as_written": as_written,
        "twice": lambda values: [(value, value) for value in values],
    }
    return environment


def _of_reports(name: str) -> str | None:
    """A template that the pages of reports are made of, too."""
    found = resources.files("evalkit.reports") / name
    return found.read_text(encoding="utf-8") if name == "parts.html.j2" else None


def _finalized(value: Any) -> Any:
    """What a template prints: text with its controls visible."""
    from markupsafe import Markup

    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def page(template: str, **context: Any) -> str:
    """A page as HTML.

    Args:
        template: file in ``templates``.
        **context: what it prints; ``root`` is the way to the top, empty for absolute addresses.
    """
    return templates().get_template(template).render(**{"root": "/", "exported": False, **context})


def respond(template: str, status: int = 200, **context: Any) -> Response:
    """A page as a response."""
    from starlette.responses import HTMLResponse

    return HTMLResponse(page(template, **context), status)


def in_thread(made: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """A page that is made beside the server's own loop: files are read for it."""
    from starlette.concurrency import run_in_threadpool

    async def page_in_thread(request: Request) -> Response:
        return await run_in_threadpool(made, request)

    return page_in_thread


def application(routes: list[BaseRoute], access: Access) -> ASGIApp:
    """An application with these routes, behind the checks; a user's mistake becomes a page that says it."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import Response
    from starlette.routing import Route

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            return Response(asset(name), media_type=TYPES[name[name.rindex(".") :]])
        except (FileNotFoundError, KeyError, ValueError):
            raise HTTPException(404, "there is no such file") from None

    async def mistaken(_: Request, error: Exception) -> Response:
        return respond("message.html.j2", 400, title="Not possible", text=str(error))

    async def failed(_: Request, error: Exception) -> Response:
        return respond("message.html.j2", 500, title="Not possible now", text=str(error))

    async def missing(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return respond("message.html.j2", error.status_code, title="Not found", text=str(error.detail))

    async def icon(_: Request) -> Response:
        return Response(status_code=204)

    handlers: Mapping[Any, Callable[[Request, Exception], Any]] = {
        UsageError: mistaken,
        EvalkitError: failed,
        HTTPException: missing,
    }
    for file in (resources.files("evalkit.app") / "templates").iterdir():
        templates().get_template(file.name)  # compiled before the first person waits for it
    rendered("\u00b7 *")
    app = Starlette(
        routes=[Route("/static/{name}", static), Route("/favicon.ico", icon), *routes], exception_handlers=handlers
    )
    return Guarded(app, access)


def listening(host: str, port: int) -> socket.socket:
    """A socket on an address; port 0 takes a free one.

    Raises:
        UsageError: the address cannot be had.
    """
    try:
        kind = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Named as TCP, so that asyncio sets TCP_NODELAY: without, a page waits 40 ms for an acknowledgement.
        found = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot listen on {host}:{port}: {why}; choose another with --port N, 0 for a free one"
        ) from None
    return found


def serve(app: ASGIApp, sock: socket.socket) -> None:
    """Answer requests until the process is told to stop (Ctrl-C, or a termination signal).

    Raises:
        UsageError: the extra is not installed.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=512,
    )
    sys.setswitchinterval(0.001)  # pages come before what is worked out beside them
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([sock])


def require() -> None:
    """See to it that the packages of the pages are there.

    Raises:
        UsageError: one is not.
    """
    from importlib.util import find_spec

    lacking = [name for name in ("starlette", "uvicorn", "markdown_it", "nh3") if find_spec(name) is None]
    if lacking:
        raise UsageError(f"the pages need {', '.join(lacking)}: pip install 'evalkit[app]'")


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key by which item 10 comes after item 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,15})", text) if part]
