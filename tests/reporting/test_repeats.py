"""The same training twice: how much equal trainings differ."""

import pytest

from tests.fabricate import config_of, declare, write_run
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import terminal

SCORES = {"baseline": [0.50, 0.51, 0.52], "acmix": [0.55, 0.56, 0.58]}


def study(output_dir, again):
    """A study of two variants, the first seeds of its baseline trained once more."""
    runs = []
    for name, scores in SCORES.items():
        for seed, score in enumerate(scores):
            folder = write_run(output_dir, config_of({"name": name}, seed), score)
            given = [f"attention={name}", f"seed={seed}"]
            runs.append({"run": folder.name, "variant": name, "seed": seed, "baseline": "baseline", "overrides": given})
    for seed, score in enumerate(again):
        entry = {"variant": "baseline repeated", "seed": seed, "baseline": "baseline repeated"}
        given = ["attention=baseline", "repeat=1", f"seed={seed}"]
        name = f"pending-{seed}"
        if score is not None:
            name = write_run(output_dir, config_of({"name": "baseline"}, seed, trainer__epochs=13), score).name
        runs.append({**entry, "run": name, "overrides": given})
    declare(output_dir, "made_up", runs)
    return read_study("made_up", output_dir)


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ([0.50, 0.51], "2 trainings of the baseline were done twice, with the same seed and the very same score"),
        ([0.50, 0.53], "differ by up to 0.0200 (standard deviation of one training 0.0100"),
        ([0.50, None], "1 of 2 trainings of the baseline was done twice"),
        (
            [None, None],
            "none of the 2 repeated trainings has finished, so how much equal trainings differ is not known",
        ),
    ],
)
def test_repeats_say_how_much_equal_trainings_differ(tmp_path, again, said):
    results = compare(study(tmp_path, again))
    assert any(said in note for note in results.notes)


def test_repeats_are_listed_but_not_compared(tmp_path):
    results = compare(study(tmp_path, [0.50, 0.53]))
    assert [variant.label for variant in results.variants] == ["baseline", "acmix"]
    assert results.variant("baseline").scores == dict(enumerate(SCORES["baseline"]))
    listed = [line for line in terminal(results, answer(results), []).splitlines() if line.startswith("  repeat ")]
    assert len(listed) == 1
    assert "baseline repeated, seeds 0 to 1: the same training once more" in listed[0]
