"""Files and models at their worst: rows torn at any byte, a full disk, a clock that jumps, replies of random pieces."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure, Judgment, Ref
from evalkit.judges import arena_hard, fastchat, json_replies, replies
from evalkit.storage.store import Log, TornLine
from tests.attack.kills import GIVE_UP, ROOT, doubled, rows

TEXTS = ("plain", "a\nb\u2028c\x00\x1b[2J", "🙂 é \u202e", '"}{\\"key\\":\\"x\\"}\\n', "x" * 3000)


def torn_lines(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Cut a file within its last row; all others are read, and the lost one can be appended again."""
    draw, count = random.Random(seed), Counter[str]()
    made = [
        Judgment(
            key=f"{number:032x}", item=f"q{number}", benchmark="b", category="c", turn=1, judge=Ref("j", "1"),
            protocol="single", parser="p/1", shown=("a",), models=(Ref("m", "1"),), scores=(7.0,),
            raw=TEXTS[number % len(TEXTS)], label="7",
        )
        for number in range(6)
    ]  # fmt: skip
    path = folder / "torn.jsonl"
    log = Log(path, Judgment)
    for row in made:
        log.append(row)
    log.close()
    whole = path.read_bytes()
    starts = [0, *(at + 1 for at, byte in enumerate(whole[:-1]) if byte == 10)]
    for _ in range(amount):
        number = draw.randrange(len(made))
        end = starts[number + 1] if number + 1 < len(made) else len(whole)
        path.write_bytes(whole[: draw.randrange(starts[number] + 1, end)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TornLine)
            log = Log(path, Judgment)
            assert list(log) == made[:number]
            for row in made[number:]:
                log.append(row)
            log.close()
            assert list(Log(path, Judgment)) == made
        count["torn lines"] += 1
    return dict(count)


def full_disk(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Runs whose files may only grow so far, then one that may go on: every row once, and the report."""
    draw, count = random.Random(seed), Counter[str]()
    whole = folder / "whole"
    assert _run(whole) == 0
    expected = _timeless(whole)
    for number in range(amount):
        results = folder / f"results{number}"
        code = _run(results, most=draw.randrange(200, 30_000))
        assert code in (0, 1, 2), f"a full disk is a failure that is said, and no crash: exit code {code}"
        count["runs that met the end of the disk"] += code > 0
        assert _run(results) == 0
        assert _timeless(results) == expected
        doubled(results)
        assert list(results.glob("pocket/runs/*/report.html"))
        count["full disks"] += 1
    return dict(count)


def _timeless(results: Path) -> dict[object, object]:
    return {key: replace(row, cost=None) for key, row in rows(results).items()}


def _run(results: Path, most: int | None = None, before: str = "") -> int:
    """The exit code of a small run, with files of no more than so many bytes."""

    def limit() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    command = ["run", "pocket", "limit=1", "model=fake", "judge=fake", f"results_dir={results}"]
    with tempfile.TemporaryFile() as said:
        ended = subprocess.run(
            [sys.executable, "-c", f"{before}\nfrom evalkit.cli import main; main()", *command],
            cwd=results.parent, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=said, stderr=said,
            preexec_fn=limit, timeout=GIVE_UP,
        )  # fmt: skip
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    assert "Traceback" not in text, text
    return ended.returncode


JUMPS = """
import random, time
real, draw = time.time, random.Random(%d)
time.time = lambda: real() + draw.choice([-86400.0, -3600.0, -1.0, 0.0, 3600.0, 86400.0 * 365])
"""


def clock_jumps(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Runs whose clock is another one at each look: what they store, and what they say of it, does not depend on it."""
    count = Counter[str]()
    whole = folder / "whole"
    assert _run(whole) == 0
    for number in range(amount):
        results = folder / f"results{number}"
        assert _run(results, before=JUMPS % (seed + number)) == 0
        assert _timeless(results) == _timeless(whole)
        (manifest,) = results.glob("pocket/runs/*/manifest.json")
        told = json.loads(manifest.read_text())
        assert _least(told) >= 0, "a duration below zero"
        count["clocks that jump"] += 1
    return dict(count)


def _least(told: object) -> float:
    """The smallest number of seconds in a manifest."""
    found = [0.0]
    if isinstance(told, dict):
        for name, value in told.items():
            timed = isinstance(value, int | float) and ("second" in name or "took" in name or "latency" in name)
            found.append(float(value) if timed else _least(value))
    elif isinstance(told, list):
        found += [_least(value) for value in told]
    return min(found)


PIECES = (
    *("[[7]]", "[[A]]", "[[B]]", "[[A>>B]]", "Rating: [[", "]]", "[[", "Rating: ", "Verdict: ", "\n", " "),
    *("<think>", "</think>", "<|im_end|>", "```", "`", '"', "“", "”", "'", "> ", "- ", "**", "| ", "#", "{", "}"),
    *("7", "10", "8/10", "out of 10", "the answer says", "my final verdict is", "not", "\x00", "\ud800", "\u202e", "é"),
)  # fmt: skip


def fuzzed_replies(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Replies put together at random: each is a verdict or a failure by every reader, whatever it is."""
    del folder
    draw, count = random.Random(seed), Counter[str]()
    readers = (
        lambda reply: replies.tag(reply, replies.RatingScale(1, 10)),
        lambda reply: replies.tag(reply, replies.FIVE),
        lambda reply: json_replies.json_field(reply, replies.RatingScale(1, 10), "rating"),
        lambda reply: replies.bare_label(reply, replies.RatingScale(1, 10)),
        fastchat.published_rating,
        arena_hard.published_verdict,
    )
    for number in range(amount):
        size = 200_000 if number % 100 == 0 else draw.randrange(1, 60)
        some = draw.choices(PIECES, k=draw.randrange(1, 5)) if size > 1000 else PIECES
        reply = Completion("".join(draw.choices(some, k=size)))
        for read in readers:
            found = read(reply)
            assert found is None or isinstance(found, Verdict | Failure | tuple | str | float), found
            count["readings that are a verdict"] += isinstance(found, Verdict)
        count["fuzzed replies"] += 1
    return dict(count)
