"""A JSON file that is one object: its rows, rows under their ids, or one row."""

from __future__ import annotations

import json

import pytest

from evalkit.datasets.data_files import records

ROW = {"question": "Why?", "answer": "So."}


@pytest.mark.parametrize(
    ("whole", "rows"),
    [
        ({"a": ROW, "b": ROW}, [ROW, ROW]),
        ({"rows": [ROW]}, [ROW]),
        (ROW, [ROW]),
        ({"a": ROW}, [{"a": ROW}]),
        ({"a": ROW, "b": {"question": "Why?"}}, [{"a": ROW, "b": {"question": "Why?"}}]),
        ({"a": ROW, "b": "Why?"}, [{"a": ROW, "b": "Why?"}]),
        ({"question": {"0": "Why?"}, "answer": {"0": "So."}}, [{"question": {"0": "Why?"}, "answer": {"0": "So."}}]),
        ({"a": {}, "b": {}}, [{"a": {}, "b": {}}]),
    ],
    ids=str,
)
@pytest.mark.parametrize("indent", [None, 2])
def test_what_the_rows_of_one_object_are(tmp_path, whole, rows, indent):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(whole, indent=indent))
    assert [row for _, row in records(path)] == rows
