"""Annotators at once against a real server: ``python tests/perf/label_load.py [ANNOTATORS=20] [VOTES] [QUESTIONS]``.

Prints the time in which 95% of pages came, ballots and votes apart, checks that every vote is stored once, and then the
processor's time for each, one request after another. Before every fifth vote an annotator looks at what votes come to.
Aim, on an idle machine with two cores: 200 ms, with a second or two between the pages of one annotator, as people have.
"""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from evalkit.app.label_pages import LabelPages
from evalkit.app.vote_scales import ABT
from evalkit.app.vote_tasks import VotePlan, tasks_of
from evalkit.app.voting import Voting
from tests.app.browser import client
from tests.app.planted import results

PAUSE = 1.0
"""Seconds between two pages of one annotator."""


def votes_of(link: str, count: int, pages: list[float], posts: list[float], standings: list[float]) -> None:
    """One annotator's browser."""
    parts = urlsplit(link)
    server = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    server.request("GET", f"{parts.path}?{parts.query}")
    reply = server.getresponse()
    reply.read()
    cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}
    address = "/vote"
    for vote in range(count):
        if vote % 5 == 4:
            began = time.perf_counter()
            server.request("GET", "/standing", headers=cookie)
            server.getresponse().read()
            standings.append(time.perf_counter() - began)
        began = time.perf_counter()
        server.request("GET", address, headers=cookie)
        text = server.getresponse().read().decode()
        pages.append(time.perf_counter() - began)
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))
        time.sleep(PAUSE)
        began = time.perf_counter()
        own = {
            "Origin": f"http://{parts.netloc}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        server.request("POST", "/vote", urlencode(form | {"choice": "A"}), cookie | own)
        reply = server.getresponse()
        reply.read()
        posts.append(time.perf_counter() - began)
        assert reply.status == 303, reply.status
        address = reply.headers["Location"]


def cpu_of(folder: Path, annotators: int, count: int) -> tuple[list[float], list[float]]:
    """Processor's seconds of each ballot and of each vote, in this process."""
    voting = Voting(VotePlan(tuple(tasks_of([folder], 2)), 0.5), ABT)
    names = tuple(f"somebody {number}" for number in range(annotators))
    calls = client(lambda access: LabelPages(voting, (folder,), access, names).routes())
    pages, posts = [], []
    for _ in range(count):
        for calls.role in names:
            began = time.process_time()
            text = calls.get("/vote").text
            pages.append(time.process_time() - began)
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))
            began = time.process_time()
            assert calls.post("/vote", form | {"choice": "A"}).status == 303
            posts.append(time.process_time() - began)
    return pages, posts


def main() -> None:
    annotators, count, questions = (int(one) for one in (sys.argv[1:] + ["20", "10", "300"][len(sys.argv) - 1 :])[:3])
    with tempfile.TemporaryDirectory() as made:
        folder = results(Path(made) / "results", questions=questions, text="word " * 200)
        names = [f"person {number}" for number in range(annotators)]
        command = [sys.executable, "-m", "evalkit", "label", str(folder), "--no-open", "--overlap", "50%"]
        for name in names:
            command += ["--annotator", name]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            links = []
            while len(links) < annotators:
                line = process.stderr.readline()
                assert line, "the server ended"
                if match := re.search(r"votes at (\S+)", line):
                    links.append(match[1])
            pages: list[float] = []
            posts: list[float] = []
            standings: list[float] = []
            threads = [threading.Thread(target=votes_of, args=(link, count, pages, posts, standings)) for link in links]
            for thread in threads:  # people do not all arrive in the same instant
                thread.start()
                time.sleep(PAUSE / annotators)
            for thread in threads:
                thread.join()
            process.send_signal(signal.SIGINT)
            process.wait(20)
        stored = sum(len(file.read_text().splitlines()) for file in folder.glob("*/judgments/person*"))
        ballots, votes = cpu_of(folder, annotators, count)
    timed = {"ballots": pages, "votes": posts, "what the votes come to": standings}
    timed |= {"processor, ballots": ballots, "processor, votes": votes}
    for name, times in timed.items():
        print(f"{name}: {len(times)}, 95% within {np.quantile(times, 0.95):.3f} s, median {np.median(times):.3f} s")
    assert stored == annotators * count, stored
    print(f"{stored} votes, each stored once")


if __name__ == "__main__":
    main()
