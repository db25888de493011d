"""What every web page here has in common: one file, no network, no script, and nothing from data as markup."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from evalkit.reports.audit_figures import Figure

if TYPE_CHECKING:
    from markupsafe import Markup


def render(template: str, **context: Any) -> str:
    """A self-contained page on which no script may run.

    Args:
        template: file beside this module that extends ``page.html.j2``; everything it prints is escaped.
        **context: what the template prints.
    """
    import jinja2

    from evalkit.reports.figure_files import STYLE

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_asset),
    )
    return environment.get_template(template).render(**context, figure_style=STYLE)


def picture(figure: Figure) -> Markup:
    """A figure as a template prints it."""
    from markupsafe import Markup

    from evalkit.reports.figure_files import inline_svg

    return Markup(inline_svg(figure))


def _asset(name: str) -> str:
    return (resources.files("evalkit.reports") / name).read_text(encoding="utf-8")
