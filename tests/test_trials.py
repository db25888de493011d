"""Faults that trials of evalkit found, each with the tests of its kind: replies, money, data, providers, use, tests.

What concerns numbers and statements is told in tests/audit/test_trials.py.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent

KINDS: dict[str, tuple[str, ...]] = {
    "R1 a remark after the verdict wins, in ratings, pairs of every scale, and JSON": (
        "judges/test_replies.py::test_the_table_of_ratings",
        "judges/test_replies.py::test_the_table_of_pairs",
        "judges/test_replies.py::test_a_remark_never_turns_a_verdict_in_either_order",
        "judges/test_announcements.py::test_a_rating_that_the_judge_contradicts_is_none",
        "judges/test_announcements.py::test_json_alike",
    ),
    "R2 a candidate's thinking is its answer, its history, its length": (
        "core/test_thinking.py::test_every_spelling_is_thinking",
        "core/test_thinking.py::test_a_candidates_thinking_is_no_part_of_answer_or_history",
        "core/test_thinking.py::test_thinking_that_never_ends_is_a_truncated_answer",
        "core/test_thinking.py::test_further_marks_are_a_models_own",
        "backends/test_decoding.py::test_thinking_that_a_server_keeps_apart",
        "backends/test_vllm.py::test_vllms_own_parser_is_asked_by_name",
    ),
    "R3 a generation that broke off at the provider is the answer for good": (
        "backends/test_decoding.py::test_a_generation_that_broke_off_is_asked_again",
        "backends/test_decoding.py::test_a_choice_with_an_error_broke_off",
        "backends/test_decoding.py::test_only_who_says_so_has_finished",
        "ratings/test_answer_checks.py::test_what_is_odd_is_named_with_its_cause",
    ),
    "R4 a judge's thinking in other spellings, or a dialogue it makes up, is read as a verdict": (
        "core/test_thinking.py::test_harmony_channels",
        "judges/test_replies.py::test_a_dialogue_that_a_judge_makes_up_is_not_read",
    ),
    "R5 plain verdicts are lost": ("judges/test_replies.py::test_the_table_of_ratings",),
    "M1 tokens of thinking outside the completion's are not counted": (
        "backends/test_decoding.py::test_tokens_that_were_generated_are_counted_wherever_a_server_says_so",
        "backends/test_decoding.py::test_tokens_of_a_stream_are_counted_likewise",
    ),
    "M2 a judge that never parses, or a server that sends no answers, is paid to the end": (
        "cli/test_main.py::test_a_judge_whose_first_replies_all_hold_no_verdict_is_asked_no_more",
        "cli/test_bounds.py::test_a_run_of_nothing_but_malformed_replies_stops",
    ),
    "M3 experiments without a forecast": (
        "probes/test_run.py::test_which_probes_must_be_said",
        "probes/test_run.py::test_the_forecast_comes_before_anything_is_asked",
    ),
    "M4 nothing says that answers are cut or empty": (
        "ratings/test_answer_checks.py::test_what_is_odd_is_named_with_its_cause",
        "cli/test_main.py::test_empty_answers_are_told",
    ),
    "M5 judges that were cut are asked again for the same cut": (
        "cli/test_main.py::test_what_was_cut_is_told_of_the_limit_and_a_higher_one_alone_asks_again",
    ),
    "M6 shutdown without a bound, a budget that does not say why": (
        "engine/test_stopping.py::test_what_does_not_finish_in_time_is_dropped_and_what_came_is_stored",
        "engine/test_stopping.py::test_answers_that_do_not_finish_in_time_are_dropped_alike",
        "models/test_budget.py::test_a_missing_limit_of_the_reply_is_said_when_it_is_what_does_not_fit",
    ),
    "D1 what a file does not say is filled in, unannounced": (
        "interop/test_told.py::test_the_baseline_of_arena_hard_is_never_assumed_in_silence",
        "interop/test_told.py::test_judges_without_a_name_do_not_become_one",
        "interop/test_told.py::test_hyphens_in_the_names_of_prd",
        "interop/test_reruns.py::test_one_by_one_is_as_a_folder_in_every_order",
    ),
    "D2 three vocabularies": (
        "datasets/test_vocabulary.py::test_every_verb_reads_every_kind_of_file_alike",
        "datasets/test_vocabulary.py::test_words_mean_what_they_mean_of_judges",
        "datasets/test_vocabulary.py::test_llmfao_is_the_same_read_and_imported",
        "interop/test_reruns.py::test_thousands_of_voters_are_the_same_read_and_imported",
    ),
    "D3 the baseline comes from the benchmark's name": (
        "ratings/test_winrate.py::test_a_baseline_of_each_category_is_found",
    ),
    "D4 input, system, context and references are dropped in silence": (
        "datasets/test_question_fields.py::test_context_is_part_of_the_question",
        "datasets/test_question_fields.py::test_references_of_own_questions_are_shown",
        "datasets/test_question_fields.py::test_what_would_be_dropped_is_refused_by_name",
    ),
    "D5 one field given switches off every other guess": (
        "datasets/test_question_fields.py::test_given_fields_override_one_by_one_and_ids_stay",
        "datasets/test_question_fields.py::test_questions_asked_before_under_another_id_are_said",
    ),
    "D6 a translated benchmark replaces the first one": (
        "interop/test_told.py::test_a_translated_benchmark_does_not_replace_the_first",
    ),
    "D7 folders one level deeper fall apart": (
        "interop/test_told.py::test_fastchat_folders_one_level_deeper_are_one_benchmark",
        "interop/test_formats.py::test_references_need_their_questions",
    ),
    "D8 a failed import leaves its first rows": (
        "datasets/test_vocabulary.py::test_an_import_is_all_or_nothing",
        "interop/test_told.py::test_skipped_records_are_counted",
    ),
    "D9 existing answers cannot be judged": (
        "cli/test_judge.py::test_files_of_answers_are_judged_and_nobody_is_asked_for_one",
        "cli/test_judge.py::test_fastchats_folder_with_its_questions",
        "cli/test_judge.py::test_alpaca_evals_outputs",
    ),
    "D10 files that are not UTF-8, empty first answers, rows twice, failures without a reason": (
        "datasets/test_question_fields.py::test_a_file_that_is_not_utf_8_is_a_message",
        "engine/test_generate.py::test_an_empty_first_answer_is_sent_back_in_words_and_stored_as_it_was",
        "engine/test_generate.py::test_an_empty_answer_in_a_given_history_is_sent_alike",
        "cli/test_data_mistakes.py::test_rows_that_are_there_twice_are_said",
        "interop/test_told.py::test_a_reason_that_a_source_does_not_give_is_not_made_up",
    ),
    "D11 groups that never met, models against themselves": (
        "ratings/test_battle_table.py::test_a_model_against_itself_does_not_count",
        "ratings/test_bt.py::test_islands_are_reported",
        "cli/test_data_mistakes.py::test_groups_that_never_met_have_no_common_ranking_without_a_word",
    ),
    "P1 system roles": (
        "models/test_client.py::test_a_request_is_adapted_to_what_a_model_takes",
        "engine/test_asked_again.py::test_a_models_own_system_prompt_comes_first",
        "engine/test_asked_again.py::test_where_system_text_goes",
    ),
    "P2 log-probabilities: what is given, and what a refusal means": (
        "backends/test_rejections.py::test_logprobs_that_are_not_given_are_no_matter_of_keys",
        "backends/test_rejections.py::test_who_names_a_limit_of_alternatives_and_who_takes_no_system_message",
    ),
    "P3 a stored rejection comes back after its advice was followed": (
        "engine/test_asked_again.py::test_a_change_of_what_is_sent_asks_a_rejected_request_again",
    ),
    "P4 advice for something else, filters that count as rejections": (
        "backends/test_rejections.py::test_the_remedy_comes_first_and_fits_the_line_that_is_printed",
        "backends/test_rejections.py::test_a_content_filter_is_a_refusal_on_both_wire_formats",
    ),
    "P5 queries in URLs, proxies, names of files": (
        "backends/test_providers.py::test_the_query_of_a_base_url_goes_along",
        "backends/test_providers.py::test_a_proxy_before_this_machine_is_named",
        "cli/test_typed.py::test_a_yaml_whose_name_has_dots_or_ends_in_yml",
    ),
    "P6 a setting that is advised and unknown": ("cli/test_typed.py::test_a_mistake_gets_one_message_that_helps",),
    "U1 lists that shells expand": (
        "cli/test_typed.py::test_nothing_needs_quotes",
        "cli/test_typed.py::test_pages_show_no_brackets_that_a_shell_would_expand",
    ),
    "U2 models by id": (
        "cli/test_typed.py::test_what_is_typed_is_taken",
        "cli/test_typed.py::test_what_is_advised_is_taken",
    ),
    "U3 own rubrics": (
        "judges/test_scales.py::test_a_text_that_names_another_scale_is_refused_with_both",
        "settings/test_rubrics.py::test_a_file_as_people_write_it",
    ),
    "U4 the page of a run": (
        "reports/test_run_results.py::test_scores_with_turns_and_categories_come_first",
        "reports/test_run_results.py::test_a_run_against_a_baseline_shows_win_rates",
        "reports/test_figures.py::test_the_page_of_the_mtbench_votes_is_small",
    ),
    "U5 people's labels in tables": ("datasets/test_vocabulary.py::test_every_verb_reads_every_kind_of_file_alike",),
    "U6 usage errors": (
        "cli/test_typed.py::test_evalkit_alone_says_what_there_is",
        "cli/test_typed.py::test_only_formats_that_can_be_written_are_offered",
        "cli/test_typed.py::test_missing_keys_are_named_all_at_once",
    ),
    "U7 broken contestants": (
        "reports/test_run_results.py::test_what_is_odd_about_answers_stands_under_the_table",
        "ratings/test_answer_checks.py::test_what_is_odd_is_named_with_its_cause",
    ),
    "U8 what is new is not told of": ("cli/test_main.py::test_a_new_format_is_known_by_being_there",),
    "T1 tests that depend on a processor or a clock": (
        "judges/test_linear.py::test_a_good_one_passes",
        "engine/test_pipeline.py::test_judging_starts_while_answers_still_come",
    ),
    "T2 cycles within functions": ("test_architecture.py::test_no_import_cycles",),
}
"""The tests of each kind."""


@cache
def functions(path: str) -> set[str]:
    """The tests of a file."""
    tree = ast.parse((HERE / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_tests(kind):
    for test in KINDS[kind]:
        path, _, name = test.partition("::")
        assert name in functions(path), test


def test_every_kind_is_there():
    found = [kind.split()[0] for kind in KINDS]
    counts = {"R": 5, "M": 6, "D": 11, "P": 6, "U": 8, "T": 2}
    assert found == [f"{letter}{number}" for letter, most in counts.items() for number in range(1, most + 1)]
