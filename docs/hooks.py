"""What mkdocs does besides: pages without a place in the navigation come last, and the notebook becomes a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

UNLISTED = "Further pages"


def on_config(config: Any) -> Any:
    """Add pages that mkdocs.yml does not name to the end of the navigation."""
    named = set(_names(config["nav"]))
    folder = Path(config["docs_dir"])
    further = [path.name for path in sorted(folder.glob("*.md")) if path.name not in named]
    if further:
        config["nav"].append({UNLISTED: further})
    config["nav"] = _as_pages(config["nav"])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Put a page of Markdown in the place of each notebook; this file is no page."""
    for file in [one for one in files if one.src_uri.endswith((".ipynb", ".py"))]:
        files.remove(file)
        if file.src_uri.endswith(".ipynb") and file.abs_src_path:
            text = notebook(Path(file.abs_src_path))
            files.append(File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Link to the pages of notebooks."""
    return markdown.replace(".ipynb)", ".md)")


def notebook(path: Path) -> str:
    """A notebook's cells as Markdown: text as it is, code in blocks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        f"```python\n{text}\n```" if cell["cell_type"] == "code" else text
        for cell, text in zip(cells, texts, strict=True)
    )


def _names(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav
    return [name for one in children for name in _names(one)]


def _as_pages(nav: Any) -> Any:
    if isinstance(nav, str):
        return nav.replace(".ipynb", ".md")
    if isinstance(nav, dict):
        return {title: _as_pages(one) for title, one in nav.items()}
    return [_as_pages(one) for one in nav]
