"""Files of other tools: what becomes of their scores, failures and names."""

import gzip
import json
import math
import zipfile

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop import load
from evalkit.interop.records import Told
from tests.interop.files import save
from tests.interop.rigs import inspect_ai as inspect_rig


def read(name, path, **said):
    told = Told(**said)
    return [row.record for row in load(name, None, told).read(path)], list(told.assumed)


def judged(rows):
    return [row for row in rows if isinstance(row, Judgment)]


def answers(rows):
    return [row for row in rows if isinstance(row, Response)]


def verdicts(rows):
    return [(row.judge.name, row.scores or row.error.kind) for row in judged(rows)]


def test_hh_transcripts(tmp_path):
    chosen = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Joke?\n\nAssistant: No."
    rejected = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Joke?\n\nAssistant: Knock knock."
    save(tmp_path / "hh.jsonl", [{"chosen": chosen, "rejected": rejected}])
    rows, _ = read("preferences", tmp_path)
    (item,) = (row for row in rows if isinstance(row, Item))
    assert item.turns == ("Hi", "Joke?")
    assert [row.turns for row in answers(rows)] == [("Hello.", "No."), ("Hello.", "Knock knock.")]
    (found,) = judged(rows)
    assert (found.turn, found.scores, found.judge.name, found.protocol) == (2, (1, 0), "gold", "gold")
    assert [model.name for model in found.models] == ["chosen", "rejected"]


def test_ultrafeedback_messages_and_rewardbench(tmp_path):
    user = {"role": "user", "content": "Q"}
    sides = {name: [user, {"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    save(tmp_path / "a" / "uf.jsonl", [{"prompt": "Q", "prompt_id": "p1", **sides, "score_chosen": 8.0}])
    rows, _ = read("preferences", tmp_path / "a")
    assert [row.turns for row in answers(rows)] == [("chosen",), ("rejected",)]
    assert [row.id for row in rows if isinstance(row, Item)] == ["p1"]
    row = {"prompt": "Q", "chosen": "c", "rejected": "r", "chosen_model": "m", "rejected_model": "m", "subset": "math"}
    save(tmp_path / "b" / "rb.json", [row | {"id": 7}])
    rows, _ = read("preferences", tmp_path / "b")
    assert [row.model.name for row in answers(rows)] == ["m (chosen)", "m (rejected)"]
    assert judged(rows)[0].category == "math"
    save(tmp_path / "c" / "x.jsonl", [{"chosen": "only", "rejected": "answers"}])
    with pytest.raises(UsageError, match="record 1: field `chosen` shares no question"):
        read("preferences", tmp_path / "c")


def test_annotators_of_pandalm_are_people_of_their_own(tmp_path):
    row = {"instruction": "Add", "input": "1 2", "response1": "3", "response2": "4", "annotator1": 1, "annotator2": 0}
    save(tmp_path / "t.json", [row | {"annotator3": 2, "cmp_key": "a_b", "gpt_result": 3}])
    rows, _ = read("pandalm", tmp_path)
    assert next(row.turns for row in rows if isinstance(row, Item)) == ("Add\n\n1 2",)
    assert verdicts(rows) == [
        ("annotator1", (1, 0)),
        ("annotator2", (0.5, 0.5)),
        ("annotator3", (0, 1)),
        ("gpt", "unparsed"),
    ]
    assert [row.judge.fingerprint == "human" for row in judged(rows)] == [True, True, True, False]
    assert [model.name for model in judged(rows)[0].models] == ["a", "b"]
    save(tmp_path / "t.json", [row | {"annotator1": 5}])
    with pytest.raises(UsageError, match="field `annotator1` is '5'; it must be 0"):
        read("pandalm", tmp_path)


@pytest.mark.parametrize(("odd", "text"), [(True, "True"), (12, "12"), (0.5, "0.5")])
def test_answers_of_pandalm_that_were_taken_for_something_else_are_texts(tmp_path, odd, text):
    """As in its published test set: six of 1,998 answers there are the JSON `true`."""
    row = {"instruction": "True?", "input": math.nan, "response1": odd, "response2": "Yes.", "annotator1": 1}
    save(tmp_path / "t.json", [row])
    rows, _ = read("pandalm", tmp_path)
    assert next(row.turns for row in rows if isinstance(row, Item)) == ("True?",)
    assert [row.turns for row in answers(rows)] == [(text,), ("Yes.",)]
    save(tmp_path / "t.json", [row | {"response1": ["a"]}])
    with pytest.raises(UsageError, match="record 1: Expected `str`, got `array`"):
        read("pandalm", tmp_path)


def test_lm_eval_of_texts_and_of_choices(tmp_path):
    folder = tmp_path / "org__m"
    base = {"doc": {}, "target": "1", "filter": "strict", "doc_hash": "", "prompt_hash": "", "target_hash": ""}
    texts = {"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": "Q?"}}, "resps": [["A"]], "filtered_resps": ["A"]}
    save(folder / "samples_gsm8k_2026-01-02T03-04-05.6.jsonl", [base | texts | {"metrics": ["em"], "em": True}])
    choice = {"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": "Q?", "arg_1": " yes"}}}
    logs = {"resps": [[["-1.5", "False"]], [["-0.5", "True"]]], "filtered_resps": [["-1.5", "False"]], "filter": "none"}
    save(folder / "samples_arc.jsonl", [base | choice | logs | {"acc": 0.0, "bleu": ["a", "b"], "acc_norm": None}])
    rows, assumed = read("lm_eval", tmp_path)
    assert {row.benchmark for row in rows} == {"gsm8k", "arc"}
    assert [(row.model.name, row.turns) for row in answers(rows)] == [("org__m", ("A",))]
    assert sorted(verdicts(rows), key=str) == [("acc", (0,)), ("acc_norm", "unparsed"), ("em", (1,))]
    assert {row.protocol for row in judged(rows)} == {"lm_eval", "lm_eval_strict"}
    assert len(assumed) == 2


def test_promptfoo_versions_and_errors(tmp_path):
    row = {"prompt": {"raw": "Q?"}, "provider": {"id": "openai:gpt", "label": "mine"}, "response": {"output": "A"}}
    component = {"pass": True, "score": 1, "reason": "fine", "assertion": {"type": "llm-rubric"}}
    code = {"pass": False, "score": 0, "reason": "no", "assertion": {"type": "contains"}}
    graded = row | {
        "gradingResult": {"pass": False, "score": 0.5, "reason": "r", "componentResults": [component, code]}
    }
    failed = row | {"prompt": {"raw": "R?"}, "response": None, "error": "API error: 500"}
    for inner in ({"results": {"results": [graded, failed], "version": 3}}, {"results": [graded, failed]}):
        (tmp_path / "results.json").write_text(json.dumps(inner))
        rows, _ = read("promptfoo", tmp_path)
        assert verdicts(rows) == [("llm-rubric", (1,)), ("assertions", (0,))]
        assert [row.error and row.error.kind for row in answers(rows)] == [None, "malformed"]
        assert "API error: 500" in answers(rows)[1].error.message
        assert {row.model.name for row in answers(rows)} == {"mine"}


def test_promptfoo_as_it_writes_today(tmp_path):
    """As promptfoo 0.121.20 writes them: sets beside what is in them, chats, refusals, ratings by people."""

    def part(kind, score, value=None, **more):
        return {"pass": score > 0.5, "score": score, "reason": kind, "assertion": {"type": kind, "value": value}} | more

    inner = [part("contains", 1, "dogs"), part("llm-rubric", 0.75, "kind")]
    whole = {"pass": True, "score": 0.875, "reason": "All assertions passed", "componentResults": inner, "metadata": {}}
    both = [part("not-contains", 0, "x"), part("not-contains", 0, "y"), part("not-contains", 0, "z")]
    chat = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant", "user")]
    about = {"promptIdx": 0, "testIdx": 0, "success": True, "score": 1, "failureReason": 0, "vars": {}, "testCase": {}}
    about |= {"provider": {"id": "file://p.js", "label": ""}, "namedScores": {}, "latencyMs": 1, "id": "1"}

    def result(raw, response, *components, reason="All assertions passed", **more):
        grading = {"pass": True, "score": 1, "reason": reason, "componentResults": list(components)}
        return about | {"prompt": {"raw": raw, "label": "l"}, "response": response, "gradingResult": grading} | more

    rows = [
        result("Q?", {"output": "A"}, whole, *inner, *both, part("select-best", 0, "fun"), error="Output not selected"),
        result(json.dumps(chat, indent=2), {"output": {"a": [1]}}, part("human", 1)),
        result("R?", {"output": "", "isRefusal": True}, reason="No assertions"),
        result("S?", {"output": "B"}, reason="No assertions"),
        result("[not a chat]", {"error": "API error: 500"}) | {"error": "API error: 500", "gradingResult": None},
        result('[{"role": "user"}]', {"output": "C"}, reason="custom"),
    ]
    for name, content in (
        ("r.json", json.dumps({"evalId": "e", "results": {"version": 3, "prompts": [], "results": rows, "stats": {}}})),
        ("r.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
    ):
        (tmp_path / name).write_text(content)
        found, _ = read("promptfoo", tmp_path / name)
        assert verdicts(found) == [
            ("llm-rubric", (0.75,)),
            ("select-best", (0,)),
            ("assertions", (0.25,)),
            ("human", (1,)),
            ("assertions", (1,)),
        ]
        assert [row.judge.fingerprint == "human" for row in judged(found)] == [False, False, False, True, False]
        assert [(row.system, row.turns) for row in found if isinstance(row, Item)][:2] == [
            (None, ("Q?",)),
            ("s", ("u", "u")),
        ]
        assert [(row.turns, row.error and row.error.kind) for row in answers(found)] == [
            (("A",), None), (("a", '{"a":[1]}'), None), (("",), "refused"), (("B",), None), (("",), "malformed"),
            (("C",), None),
        ]  # fmt: skip


def test_evalscope_of_today_and_before(tmp_path):
    score = {"score": {"value": {"acc": 1.0, "judge_score": 7}, "prediction": "A"}, "sample_id": 3}
    save(tmp_path / "reviews" / "m" / "d.jsonl", [{"index": 3, "target": "A", "input": "Q?", "sample_score": score}])
    rows, assumed = read("evalscope", tmp_path)
    assert verdicts(rows) == [("acc", (1,)), ("judge_score", (7,))]
    assert [(row.model.name, row.turns) for row in answers(rows)] == [("m", ("A",))]
    assert len(assumed) == 1


def test_samples_of_evalscope_are_answers_to_one_question(tmp_path):
    """As evalscope 1.14.1 numbers them: ``index`` counts the answers, ``group_id`` the questions."""
    rows = [
        {
            "index": index,
            "target": None,
            "messages": [
                {"role": "system", "content": "Be kind"},
                {"role": "user", "content": [{"type": "text", "text": f"Q{index // 2}?"}]},
                {"role": "assistant", "content": f"A{index}"},
            ],
            "sample_score": {"score": {"value": {"acc": index % 2}}, "sample_id": index, "group_id": index // 2},
        }
        for index in range(4)
    ]
    save(tmp_path / "reviews" / "m" / "d.jsonl", rows)
    found, _ = read("evalscope", tmp_path)
    assert [(row.id, row.turns, row.system) for row in found if isinstance(row, Item)] == [
        ("0", ("Q0?",), "Be kind"),
        ("1", ("Q1?",), "Be kind"),
    ]
    assert [(row.item, row.sample, row.turns) for row in answers(found)] == [
        ("0", 0, ("A0",)),
        ("0", 1, ("A1",)),
        ("1", 0, ("A2",)),
        ("1", 1, ("A3",)),
    ]


def test_opencompass_scores_and_pairs(tmp_path):
    single = {"0": {"prediction": "Good. Rating: [[7]]", "gold": {"question": "Q?", "capability": "c"}}}
    single |= {"1": {"prediction": "I cannot say", "gold": {"question": "R?"}}}
    folder = tmp_path / "results" / "qwen_judged-by--gpt-4"
    save_object(folder / "alignbench_0.json", single)
    gold = {"question": "Q?", "answer1": "x", "answer2": "y"}
    replies = ("[[A>>B]]", "[[B]]", "[[A]] or [[B]]", "[[C]]")
    pairs = {str(i): {"prediction": reply, "gold": gold} for i, reply in enumerate(replies)}
    save_object(tmp_path / "results" / "x_y_judged-by--gpt-4" / "arenahard.json", pairs)
    rows, assumed = read("opencompass", tmp_path)
    assert [(row.benchmark, *pair) for row, pair in zip(judged(rows), verdicts(rows), strict=True)] == [
        ("alignbench", "gpt-4", (7,)),
        ("alignbench", "gpt-4", "unparsed"),
        ("arenahard", "gpt-4", (1, 0)),
        ("arenahard", "gpt-4", (0, 1)),
        ("arenahard", "gpt-4", "unparsed"),
        ("arenahard", "gpt-4", (0.5, 0.5)),
    ]
    assert (judged(rows)[0].models[0].name, assumed) == ("qwen", [])


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A is richer. Choice: A", (1, 0)),
        ("两个回答都好。选择：C", (0.5, 0.5)),
        ("Choice: B, and not Choice: A", (0, 1)),
        ("Choice: none", "unparsed"),
        ("{'事实正确性': 9, '满足用户需求': 6, '综合得分': 7}", 7),
        ("{'Overall Score': 3} at first; then {'Clarity': 8, 'Overall Score': 10}", 10),
        ("{'综合得分': 70}", "unparsed"),
        ("{'综合得分': 7.5}", "unparsed"),
    ],
)
def test_opencompass_replies_of_its_own_benchmarks(tmp_path, reply, verdict):
    pair = not reply.startswith("{")
    gold = {"question": "Q?"} | ({"answer1": "x", "answer2": "y"} if pair else {})
    place = tmp_path / "results" / ("x_y_judged-by--gpt-4" if pair else "x_judged-by--gpt-4")
    save_object(place / "own.json", {"0": {"prediction": reply, "gold": gold}})
    rows, _ = read("opencompass", tmp_path)
    ((_, said),) = verdicts(rows)
    assert said == (verdict if pair or verdict == "unparsed" else (verdict,))


def save_object(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_inspect_logs_as_zip_are_as_json(tmp_path):
    source = inspect_rig.build(tmp_path / "json", n=3) / "log.json"
    log = json.loads(source.read_text())
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({name: log[name] for name in ("version", "status", "eval")}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        archive.writestr("summaries.json", "[]")
    plain, _ = read("inspect_ai", source)
    zipped, _ = read("inspect_ai", tmp_path / "log.eval")
    assert zipped == plain
    assert verdicts(plain)[:4] == [
        ("match", (1,)),
        ("model_graded_qa", (0,)),
        ("match", (1,)),
        ("model_graded_qa", "unparsed"),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_inspect_logs_of_several_epochs_and_choices_with_numbers_that_json_lacks(tmp_path, packed):
    """As inspect_ai 0.3.285 writes them: NaN in the header's results and in scores, an answer for each epoch."""
    scores = {"judge": {"value": math.nan, "explanation": "Grade not found."}, "code": {"value": "C"}}
    talk = [{"role": role, "content": text} for role, text in (("system", "Be kind"), ("user", "Hi"))]
    talk += [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "3+3?"}]
    samples = [
        {"id": name, "epoch": epoch, "input": asked, "target": "A", "output": {"completion": f"{name}{epoch}"}} | more
        for epoch in (1, 2)
        for name, asked, more in (
            (4, "Pick", {"choices": ["x", "y"], "scores": scores}),
            ("s", talk, {"choices": None, "scores": scores}),
            ("t", "Boom", {"scores": {}, "error": {"message": "it died"}}),
        )
    ]
    about = {"eval": {"task": "tiny", "model": "m/m"}, "results": {"scores": [{"metrics": {"mean": math.nan}}]}}
    if packed:
        with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
            archive.writestr("header.json", json.dumps(about))
            for sample in samples:
                archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    else:
        (tmp_path / "log.json").write_text(json.dumps(about | {"samples": samples}))
    rows, _ = read("inspect_ai", tmp_path)
    items = {row.id: (row.turns, row.system) for row in rows if isinstance(row, Item)}
    assert items == {"4": (("Pick\n\nA) x\nB) y",), None), "s": (("Hi", "3+3?"), "Be kind"), "t": (("Boom",), None)}
    given = [(row.item, row.sample, row.turns[-1]) for row in answers(rows) if row.error is None]
    assert given == [("4", 0, "41"), ("s", 0, "s1"), ("4", 1, "42"), ("s", 1, "s2")]
    assert verdicts(rows) == [("judge", "unparsed"), ("code", (1,))] * 4


def test_inspect_logs_as_they_are_packed_now(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    source = inspect_rig.build(tmp_path / "json", n=2) / "log.json"
    log = json.loads(source.read_text())
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"eval": log["eval"]}))
        for sample in log["samples"]:
            packed = zstandard.ZstdCompressor().compress(json.dumps(sample).encode())
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", packed)
    content = bytearray(path.read_bytes())  # Python's zipfile cannot write method 93, but says where to put it
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist()[1:]:
            content[info.header_offset + 8 : info.header_offset + 10] = (93).to_bytes(2, "little")
    start = content.index(b"PK\x01\x02")
    while (start := content.find(b"PK\x01\x02", start + 4)) > 0:
        content[start + 10 : start + 12] = (93).to_bytes(2, "little")
    path.write_bytes(content)
    assert verdicts(read("inspect_ai", path)[0]) == verdicts(read("inspect_ai", source)[0])


def test_values_and_errors_of_inspect(tmp_path):
    source = inspect_rig.build(tmp_path, n=3) / "log.json"
    rows = inspect_rig.load(source)
    rows[0]["scores"] = {"rubric": {"value": {"tone": 4, "facts": "P"}}, "odd": {"value": [1]}}
    rows[1]["error"] = {"message": "sandbox died", "traceback": ""}
    rows[2]["scores"] = {"m": {"value": True}, "n": {"value": "N"}}
    inspect_rig.save(source, rows)
    found, _ = read("inspect_ai", source)
    assert verdicts(found) == [
        ("rubric/tone", (4,)),
        ("rubric/facts", (0.5,)),
        ("odd", "unparsed"),
        ("m", (1,)),
        ("n", (0,)),
    ]
    assert [row.error and row.error.message for row in answers(found)][1].endswith("sandbox died")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.eval", b"no zip", "cannot read .*log.eval' as a log of Inspect"),
        ("log.json", b'{"eval": 3}', "is not a log of Inspect"),
        ("log.json", b'[{"a": 1}]', "is not a log of Inspect"),
    ],
)
def test_what_is_no_log(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read("inspect_ai", tmp_path / name)


def test_a_table_of_wide_words(tmp_path):
    content = "Frage;Antwort;Modell;Note\nWer?;Ich;m;7,5\nWas?;Das;m;\n"
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content.encode("utf-8-sig")))
    columns = {"question": "Frage", "answer": "Antwort", "model": "Modell", "score": "Note"}
    rows, _ = read("table", tmp_path / "t.csv.gz", columns=columns, judge="ann")
    assert verdicts(rows) == [("ann", (7.5,)), ("ann", "unparsed")]
    assert [row.turns for row in answers(rows)] == [("Ich",), ("Das",)]
