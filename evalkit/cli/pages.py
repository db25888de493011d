"""What the verbs with web pages have in common: their options, the link that is printed, the browser that opens."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evalkit.cli.messages import note

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.routing import BaseRoute

    from evalkit.app.access import Access


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Where the pages are served."""
    add = parser.add_argument
    add("--port", type=int, default=0, metavar="N", help="default: a free one")
    loopback = "address to listen on (default: 127.0.0.1, this machine alone); the link holds a token in any case"
    add("--host", default="127.0.0.1", metavar="ADDRESS", help=loopback)
    add("--no-open", action="store_true", help="print the link and open no browser")


def open_pages(
    routes: list[BaseRoute] | Callable[[Access], list[BaseRoute]],
    given: argparse.Namespace,
    *,
    secret: bytes | None = None,
    told: Callable[[Access], None] | None = None,
    first: tuple[str, str] = ("/", ""),
) -> None:
    """Serve pages until Ctrl-C.

    Args:
        routes: of the pages, or what makes them when the address is known.
        given: the options above, as parsed.
        secret: signs the links; None draws one.
        told: says more about the links.
        first: page and role that the browser opens.

    Raises:
        UsageError: the address cannot be had.
    """
    from evalkit.app import server
    from evalkit.app.access import Access, check_host
    from evalkit.core.protocols import UsageError

    if not 0 <= given.port <= 65535:
        raise UsageError(f"--port {given.port} is not possible; give a number from 1 to 65535, or 0 for a free one")
    sock = server.listening(check_host(given.host), given.port)
    port = sock.getsockname()[1]
    access = Access(given.host, port, secret) if secret is not None else Access(given.host, port)
    app = server.application(routes if isinstance(routes, list) else routes(access), access)
    link = access.link(*first)
    note(f"{access.link()}\nCtrl-C ends it.")
    if told is not None:
        told(access)
    if not given.no_open:
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
    server.serve(app, sock)
