"""A study that stops when it is decided has two questions about an attention: the baseline's and the placebo's."""

from dataclasses import replace

import numpy as np
import pytest

from tests.fabricate import config_of, write_run
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.study import read_study
from yolo26_attention.study.declaration import Declaration
from yolo26_attention.study.next_runs import due, placebo_families, standings, with_stopped
from yolo26_attention.study.progress import run_states
from yolo26_attention.study.runs import StudyEntry, write_study
from yolo26_attention.study.text import at_looks

PLAN = Declaration(tuple(range(6)), tuple(range(8)), margin=0.01, looks=(3, 4, 6), stop=True)
NOISE = np.random.default_rng(7).normal(0, 0.004, (3, 8))
ATTENTION = {"baseline": {"name": "baseline"}, "placebo": {"name": "placebo"}, "acmix": {"name": "acmix"}}


@pytest.fixture
def states(tmp_path):
    """States of a study whose variants have so many finished seeds and differ from the baseline by so much."""

    def of(counts, plan=PLAN, **shifts):
        entries = []
        for row, (variant, attention) in enumerate(ATTENTION.items()):
            for seed in plan.baseline_seeds if variant == "baseline" else plan.seeds:
                run = f"{variant}-s{seed}"
                if seed < counts[variant]:
                    value = 0.4 + shifts.get(variant, 0.0) + NOISE[row, seed]
                    run = write_run(tmp_path, config_of(attention, seed), value).name
                entries.append(StudyEntry(run, variant, seed, baseline="baseline"))
        write_study(tmp_path, "made_up", "Why?", "c", entries, plan)
        return run_states(tmp_path, entries)

    return of


def left(states, plan=PLAN):
    """The variant and seed of every run that is due and has not finished."""
    return [(each.entry.variant, each.entry.seed) for each in due(states, plan) if each.state != "finished"]


LOOK_1 = {"baseline": 4, "placebo": 3, "acmix": 3}
LOOK_2 = {"baseline": 4, "placebo": 4, "acmix": 4}


def test_a_variant_that_is_decided_is_trained_on_while_its_placebo_leaves_it_open(states):
    found = states(LOOK_1, placebo=0.1, acmix=0.112)
    by = standings(found, PLAN)
    assert {variant: arm.outcome for variant, arm in by["baseline"].arms.items()} == dict.fromkeys(
        ["placebo", "acmix"], "better"
    )
    assert by["placebo"].arms["acmix"].outcome == "open"
    assert left(found) == [("placebo", 3), ("acmix", 3)]
    stopped = [each.entry.variant for each in with_stopped(found, PLAN) if each.state == "stopped"]
    assert stopped == ["baseline"] * 4
    assert [line.split(":")[0] for line in at_looks(found, PLAN)] == ["against baseline", "against placebo"]


def test_the_first_verdict_against_the_baseline_stands(states):
    by = standings(states(LOOK_2, placebo=0.1, acmix=0.112), PLAN)
    assert by["baseline"].arms["acmix"].look == 1
    assert by["placebo"].arms["acmix"].look == 2


def test_nothing_is_trained_when_both_questions_are_answered(states):
    found = states(LOOK_1, placebo=0.1, acmix=0.3)
    assert left(found) == []
    assert {each.state for each in with_stopped(found, PLAN)} == {"finished", "stopped"}


def test_what_beats_its_placebo_is_trained_on_while_the_baseline_leaves_it_open(states):
    found = states(LOOK_1, placebo=-0.2, acmix=0.008)
    assert standings(found, PLAN)["placebo"].arms["acmix"].outcome == "better"
    assert left(found) == [("baseline", 4), ("baseline", 5), ("acmix", 3)]


def test_the_report_judges_the_placebo_at_the_look_of_the_sweep(states, tmp_path):
    found = states({"baseline": 4, "placebo": 6, "acmix": 6}, placebo=0.1, acmix=0.112)
    arm = standings(found, PLAN)["placebo"].arms["acmix"]
    (told,) = [each for each in answer(compare(read_study("made_up", tmp_path))).beside.split(". ") if "convol" in each]
    assert told.startswith("Against placebo, a plain convolution as large, acmix is +0.0")
    assert f"(look {arm.look} of 3" in told
    assert arm.look > 1


@pytest.mark.parametrize("failure", ["nothing", "failed"])
def test_a_placebo_without_a_result_leaves_no_question_open(failure, states):
    found = states(LOOK_1, placebo=0.0, acmix=0.3)
    for number, state in enumerate(found):
        if state.entry.variant == "placebo" and state.record is not None:
            metrics = {"map50_95": 1e-5} if failure == "nothing" else {}
            status = "finished" if failure == "nothing" else "failed"
            found[number] = replace(state, state=status, record=replace(state.record, metrics=metrics, status=status))
    assert standings(found, PLAN)["placebo"].arms["acmix"].outcome == "alone"
    assert not [each for each in left(found) if each[0] == "acmix"]


def test_there_is_no_question_before_all_variants_have_a_record(states):
    found = states(LOOK_1)
    assert placebo_families(found) == {"placebo": ["acmix"]}
    assert placebo_families(states({**LOOK_1, "placebo": 0})) == {}
    unknown = [replace(each, record=None) if each.entry.variant == "baseline" else each for each in found]
    assert placebo_families(unknown) == {}
