"""By how much one answer is better, as labels of many tools say it."""

import pytest

from evalkit.core.preference_strength import STEPS, strength_of
from evalkit.judges.replies import MARGIN, SCALE8


@pytest.mark.parametrize(
    ("label", "step"),
    [
        ("a-is-slightly-better", 2),
        ("b_is_better", 3),
        ("B is much better", 4),
        ("slightly better", 2),
        ("much better", 4),
        ("A:negligibly", 1),
        ("B:significantly", 4),
        ("B:better", 3),
        ("A>>B", 4),
        ("B>A", 3),
    ],
)
def test_steps(label, step):
    assert strength_of(label) == step


@pytest.mark.parametrize("label", ["tie", "A", "model_a", "both good", "chosen", "", "9", "0", "better off", "much"])
def test_labels_that_say_no_strength(label):
    assert strength_of(label) == 0


@pytest.mark.parametrize(("label", "step"), [("1", 4), ("4", 1), ("5", 1), ("8", 4), ("9", 0), ("tie", 0)])
def test_votes_from_1_to_8_are_told_by_how_they_were_asked(label, step):
    assert strength_of(label, eight=True) == step
    assert strength_of(label) == 0  # 1 and 2 are what some sets call the two answers


def test_every_word_of_ours_has_the_step_of_its_points():
    """The forms of votes and judges put the steps at sevenths from 0 to 1."""
    for form, labels in ((SCALE8, [str(n) for n in range(1, 9)]), (MARGIN, ["A:better", "B:slightly", "A:negligibly"])):
        for label in labels:
            points = form.verdict(label).scores[0]
            assert strength_of(label, eight=form is SCALE8) == round((7 * abs(2 * points - 1) + 1) / 2)
    assert len(STEPS) == 4
