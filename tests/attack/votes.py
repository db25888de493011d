"""``evalkit label`` killed while people vote: what was confirmed is there, once, whatever is sent again."""

from __future__ import annotations

import http.client
import os
import random
import re
import subprocess
import sys
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from evalkit.core.schema import Judgment, digest
from evalkit.storage.store import Log, TornLine
from tests.app.planted import results

ROOT = Path(__file__).parents[2]
WHO, PROTOCOL = "voter", "human_pair"
QUESTIONS = 60


@dataclass
class Cast:
    """What one person sent: choices that were confirmed, and those of which nobody knows, by task."""

    confirmed: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)
    requests: int = 0


def campaign(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill the server of the pages so many times, in the midst of votes; then vote on whatever is left."""
    moments = random.Random(seed)
    count: Counter[str] = Counter()
    while count["kills"] < kills:
        place = results(folder / f"results {count['folders']}", questions=QUESTIONS)
        cast = Cast()
        count["folders"] += 1
        while count["kills"] < kills and _voted(folder, place, cast, moments):
            count["kills"] += 1
            _check(place, cast)
        assert not _voted(folder, place, cast, None), "nobody kills it, and it ends before all is voted on"
        _check(place, cast)
        everything = cast.confirmed | cast.unsure  # of those stored just before a kill nobody was told, nor asked again
        assert len(_stored(place)) == len(everything), "a vote is missing in the end"
        count["votes"] += len(everything)
        count["requests"] += cast.requests
    return {"kills": count["kills"], "requests": count["requests"], "rows": count["votes"]}


def _voted(folder: Path, place: Path, cast: Cast, moments: random.Random | None) -> bool:
    """Start the server and vote until nothing is left; False then, and True where it was killed before."""
    command = [sys.executable, "-m", "evalkit", "label", str(place), "--no-open", "--annotator", WHO]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVALKIT_CACHE_DIR": str(folder / "cache")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        assert process.stderr is not None
        link = next((found[1] for line in process.stderr if (found := re.search(r"votes at (\S+)", line))), None)
        assert link is not None, "the server did not start"
        killer = threading.Timer(moments.uniform(0.0, 0.5), process.kill) if moments is not None else None
        if killer is not None:
            killer.start()
        try:
            _vote(link, cast)
        except (OSError, http.client.HTTPException):
            process.wait()
            return True
        finally:
            if killer is not None:
                killer.cancel()
            process.kill()
    return False


def _vote(link: str, cast: Cast) -> None:
    """A person's browser, from the link to the end; ends early where the server does."""
    parts = urlsplit(link)
    server = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    server.request("GET", f"{parts.path}?{parts.query}")
    reply = server.getresponse()
    reply.read()
    cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}
    own = {"Origin": f"http://{parts.netloc}", "Content-Type": "application/x-www-form-urlencoded"}
    while True:
        server.request("GET", "/vote", headers=cookie)
        page = server.getresponse().read().decode()
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
        task = form.get("task")
        if task is None:
            return
        assert task not in cast.confirmed, "it was voted on, and is asked again"
        choice = cast.unsure.get(task, "AB"[len(cast.confirmed) % 2])
        cast.unsure[task] = choice
        cast.requests += 1
        for _ in range(2 if len(cast.confirmed) % 7 == 0 else 1):  # a browser that sends a form twice
            server.request("POST", "/vote", urlencode(form | {"choice": choice}), cookie | own)
            reply = server.getresponse()
            reply.read()
            assert reply.status == 303, reply.status
        cast.confirmed[task] = cast.unsure.pop(task)


def _stored(place: Path) -> Counter[tuple[str, str | None]]:
    """How often each vote is stored, by key and label."""
    logs = [Log(path, Judgment) for path in place.glob(f"*/judgments/{WHO}.*.jsonl")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TornLine)
        return Counter((row.key, row.label) for log in logs for row in (*log, *log.replaced()))


def _check(place: Path, cast: Cast) -> None:
    """Everything confirmed is stored, once, and nothing else but what may have been stored before a kill."""
    found = _stored(place)
    sure, unsure = (
        {(digest("vote", WHO, PROTOCOL, task), choice) for task, choice in votes.items()}
        for votes in (cast.confirmed, cast.unsure)
    )
    assert set(found.values()) <= {1}, "a vote is stored twice"
    assert sure <= set(found), f"{len(sure - set(found))} votes that were confirmed are lost"
    assert set(found) <= sure | unsure, "a vote is stored that nobody cast"
