"""Make the pictures of README and docs from real commands and pages: python docs/make_pictures.py [--into DIR].

Needs Chromium (Debian's package) and playwright for the pages. Everything is judged by `fake`, so that the pictures are
the same wherever they are made; the terminal is as `evalkit` prints it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

WIDTH = 92
"""Columns of the terminal."""
MODELS = {"checkpoint-2": 7.4, "checkpoint-1": 6.1, "baseline": 5.2}


def main() -> None:
    """Run, look and photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent / "pictures")
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        conf = folder / "conf" / "model"
        conf.mkdir(parents=True)
        for name, skill in MODELS.items():
            backend = f"{{_target_: evalkit.backends.fake.Fake, model: {name}, skill: {skill}}}"
            (conf / f"{name}.yaml").write_text(f"{name}:\n  backend: {backend}\n  price: free\n")
        command = ["run", "pocket", f"model={','.join(MODELS)}", "judge=fake", "--config-dir=conf"]
        printed = evalkit(folder, *command, "run.name=first")
        shown = " ".join(["evalkit", *command])
        terminal(f"$ {shown}\n{printed}", into / "run.svg")
        evalkit(folder, *command, "protocol=pairwise")
        report = folder / "results/pocket/runs/first/report.html"
        photograph(report.as_uri(), into / "report.png", height=760)
        with served(folder, "view", "results") as link:
            photograph(link, into / "view.png", height=700)
        with served(folder, "label", "results/pocket", link="/vote") as link:
            photograph(link, into / "label.png", height=820)
    for path in sorted(into.iterdir()):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


def evalkit(folder: Path, *words: str) -> str:
    """What a command prints on a terminal of our width, colours included."""
    env = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "evalkit", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def terminal(text: str, into: Path) -> None:
    """A picture of a terminal that shows the text."""
    first, *lines = text.splitlines()
    tables = next(place for place, line in enumerate(lines) if "scores by" in line)  # before it: progress
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text.from_ansi("\n".join([first, *lines[tables:]])))
    svg = console.export_svg(title="evalkit", unique_id="run")
    into.write_text(re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL), encoding="utf-8")


class served:
    """A page of evalkit's own server, by its link, until it is closed."""

    def __init__(self, folder: Path, *words: str, link: str = "/") -> None:
        self.link = link
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "evalkit", *words, "--no-open"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> str:
        """Wait for the link that it prints."""
        assert self.process.stdout is not None
        end = time.monotonic() + 120
        while time.monotonic() < end and (line := self.process.stdout.readline()):
            found = re.findall(r"http://127\.0\.0\.1:\d+/\S+", line)
            if found and self.link in found[0]:
                return str(found[0])
        raise SystemExit("no link was printed")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def photograph(address: str, into: Path, *, height: int) -> None:
    """A picture of a page in Chromium, light, 1100 pixels wide."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": height}, color_scheme="light")
        page.goto(address)
        page.wait_for_timeout(500)
        page.screenshot(path=str(into))
        browser.close()


if __name__ == "__main__":
    main()
