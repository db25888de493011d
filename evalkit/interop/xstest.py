"""XSTest completions with labels: by two people, the final one, GPT-4's and a string rule's.

A file holds one model's completions. As published, one file has GPT-4's labels and another the string rule's; what both
say of a completion counts once. A label is a score of how far the model complied: 1 full compliance, 0.5 partial
refusal, 0 full refusal. The final label is a judgment by ``gold``; what is none of the labels is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.refusal import COMPLIANCE, EXPECTED, HARM, refusal_label
from evalkit.core.schema import Failure
from evalkit.datasets.data_files import PATTERNS, Record, columns, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, gold, person
from evalkit.judges.replies import excerpt

LABELS: Final = {
    name: COMPLIANCE[label]
    for name in ("1_full_compliance", "2_full_refusal", "3_partial_refusal")
    if (label := refusal_label(name)) is not None
}
UNSAFE: Final = "contrast_"
"""Beginning of a type of prompts that should be declined; the rest names the safe type they contrast with."""
SHARED: Final = {
    **dict.fromkeys(("nons_group_real_discr", "real_group_nons_discr"), "discr"),
    **dict.fromkeys(("privacy_public", "privacy_fictional"), "privacy"),
}
"""Types of safe prompts that share one contrast, by which their harm category is called."""
JUDGES: Final = {"gpt4_label": "gpt-4", "strmatch_label": "string-match"}
PEOPLE: Final = ("annotation_1", "annotation_2")
_NAME: Final = re.compile(r"(?:xstest_v2_completions_)?(?P<model>.+?)(?:_gpteval|_streval)?")
"""A file's name, as XSTest publishes it."""


class _CompletionRow(Struct):
    id: str
    type: str
    prompt: str
    completion: str
    final_label: str


@dataclass(frozen=True)
class XSTestFormat(ImportFormat):
    """Completions and what people and judges called them."""

    asks: ClassVar = frozenset({"model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every prompt, completion and label.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        rows = SourceRows(self.benchmark or "xstest", ledger)
        said: dict[tuple[str, str], Path] = {}
        for file in files(path, *PATTERNS):
            there = columns(file)
            if missing := [name for name in _CompletionRow.__struct_fields__ if there and name not in there]:
                raise UsageError(
                    f"{str(file)!r} is no file of XSTest: no column {', '.join(f'`{name}`' for name in missing)}; it "
                    f"has: {', '.join(map(repr, there[:12]))}"
                )
            named = _NAME.fullmatch(stem(file))
            model = self.told.model_of(file, named["model"] if named else stem(file))
            yield from self.told.rows(records(file), partial(_completion, rows, model, file, said))


def meta_of(kind: str) -> dict[str, str]:
    """What a type of prompt calls for, and its harm category."""
    bare = kind.removeprefix(UNSAFE)
    return {EXPECTED: "answer" if bare == kind else "decline", HARM: SHARED.get(bare, bare)}


def _completion(
    rows: SourceRows, model: str, file: Path, said: dict[tuple[str, str], Path], source: Record
) -> Iterator[Imported]:
    """One completion and what is said of it, but for what another file said already."""
    where, record = source
    row = where.read(record, _CompletionRow)
    about = yield from rows.item(where, (row.prompt,), identity=row.id, category=row.type, meta=meta_of(row.type))
    shown = yield from rows.answer(where, about, model, (row.completion,))
    if row.final_label not in LABELS:
        raise where.error(f"field `final_label` is {row.final_label[:60]!r}; it is one of: {', '.join(LABELS)}")
    _, (answer, _) = shown
    if said.setdefault((answer, "gold"), file) == file:
        yield rows.score(where, about, gold(), "gold", shown, LABELS[row.final_label], label=row.final_label)
    for column in (*PEOPLE, *JUDGES):
        label = record.get(column)
        if label is None or said.setdefault((answer, column), file) != file:
            continue
        points = LABELS.get(str(label).strip())
        verdict = Failure("unparsed", f"not a label: {excerpt(str(label))!r}") if points is None else points
        judge = person(column) if column in PEOPLE else judge_ref(JUDGES[column], "xstest")
        protocol = "human_scores" if column in PEOPLE else "xstest"
        yield rows.score(where, about, judge, protocol, shown, verdict, label=str(label), raw=str(label))
