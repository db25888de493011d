"""Small results with planted cases: pairs in both orders, grades, votes, failures, and texts that attack the page."""

from __future__ import annotations

from pathlib import Path

from evalkit.core.schema import Failure, Item, Judgment, Ref, Response, digest
from evalkit.storage.items import Items
from evalkit.storage.store import Store

ATTACK = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\"><a href=\"javascript:document.title='owned'\">x</a>"
    "[l](javascript:document.title='owned') ![i](http://127.0.0.1:9/x.png) $\\href{javascript:alert(1)}{x}$ "
    "\\(\\unicode{<img src=x onerror=alert(1)>}\\) {{7*7}} '\"><b id=owned> \u202egnp.exe\u2066 \x1b]0;owned\x07"
    "\x1b[31m \u200bhidden\U000e0041 ```</div></main></script>"
)
"""Markup, script, formulas, templates, text that turns round, and commands of terminals."""


def model(name: str) -> Ref:
    return Ref(name, digest(name))


def answer(name: str, item: Item, text: str, **more) -> Response:
    turns = tuple(f"{text} turn {number}" for number in range(1, len(item.turns) + 1))
    return Response(
        key=digest(name, item.id),
        item=item.id,
        benchmark=item.benchmark,
        category=item.category,
        model=model(name),
        turns=turns,
        finish=("stop",) * len(turns),
        **more,
    )


def judged(judge: str, shown: list[Response], scores, *, turn: int = 1, protocol: str = "pairwise", **more) -> Judgment:
    failed = isinstance(scores, Failure)
    fields = {"label": None if failed else str(scores), "raw": f"{judge} says {scores}", "parser": "p/1"} | more
    return Judgment(
        key=digest(judge, [one.id for one in shown], turn, protocol, more.get("repeat", 0)),
        item=shown[0].item,
        benchmark=shown[0].benchmark,
        category=shown[0].category,
        turn=turn,
        judge=Ref(judge, "human") if judge.startswith("ann") else Ref(judge, digest("judge", judge)),
        protocol=protocol,
        shown=tuple(one.id for one in shown),
        models=tuple(one.model for one in shown),
        lengths=tuple(len(one.turns[turn - 1]) for one in shown),
        scores=None if failed else scores,
        error=scores if failed else None,
        created=1e9,
        **fields,
    )


def results(folder: Path, *, questions: int = 4, text: str = "An answer", benchmark: str = "pocket") -> Path:
    """Models ``one`` and ``two``: the judge prefers ``one`` on even questions in both orders, and contradicts itself on
    odd ones; people prefer ``two`` throughout; ``strict`` grades ``one`` with the question's number and fails on 3."""
    items = [
        Item(
            id=f"q{number}",
            benchmark=benchmark,
            category="even" if number % 2 == 0 else "odd",
            turns=(f"Question {number}: {text}", "And then?"),
            reference=(f"Reference {number}", None),
        )
        for number in range(questions)
    ]
    store = Store(folder, benchmark)
    Items(store.root).keep(items)
    for number, item in enumerate(items):
        one = answer("one", item, f"{text} by one", thinking=(f"Thought {number}", ""))
        two = answer("two", item, f"{text} by two, longer")
        store.responses("one").append(one)
        store.responses("two").append(two)
        pairs = store.judgments("judge", "pairwise")
        pairs.append(judged("judge", [one, two], (1.0, 0.0)))
        pairs.append(judged("judge", [two, one], (0.0, 1.0) if number % 2 == 0 else (1.0, 0.0)))
        store.judgments("ann", "human_pair").append(judged("ann", [two, one], (1.0, 0.0), protocol="human_pair"))
        said = Failure("unparsed", "no number") if number == 3 else (float(number),)
        grades = store.judgments("strict", "single")
        grades.append(judged("strict", [one], said, protocol="single", raw=f"grade of {number}: {text}"))
        grades.append(judged("strict", [two], (2.0,), protocol="single"))
    store.close()
    return folder
