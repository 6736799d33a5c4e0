"""What targets are called, and the table of one."""

import re
from dataclasses import replace

import pytest

from tests.fabricate import latency_of, target_of
from yolo26_attention.files.latency import MachineUse
from yolo26_attention.study.targets import described, disturbances, short_names, timing_table

RUNS = {"baseline": "a", "acmix": "b"}


def target(**options):
    return target_of({"baseline": 1.0, "acmix": 1.25}, RUNS, **options)


def test_target_is_described_by_all_that_its_latency_holds_for():
    assert described(target()) == "Made-up 9000, eager, fp32, batch 1, 128 px, 1 CPU thread"
    assert described(target(device="A Card", precision="fp16")) == "A Card, eager, fp16, batch 1, 128 px"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param([{}], ["eager"], id="one"),
        pytest.param([{}, {"backend": "onnxruntime"}], ["eager", "onnxruntime"], id="backend"),
        pytest.param([{}, {"cpu": "Arm Cortex-A76"}], ["Made-up 9000", "Arm Cortex-A76"], id="machine"),
        pytest.param(
            [{}, {"device": "A Card"}], ["Made-up 9000, 1 CPU thread", "A Card"], id="machines-with-other-threads"
        ),
        pytest.param([{}, {"batch": 8}, {"batch": 8}], ["batch 1", "batch 8, 2", "batch 8, 3"], id="alike"),
        pytest.param([], [], id="none"),
    ],
)
def test_short_names_are_what_tells_targets_apart(options, names):
    assert short_names([target(**each) for each in options]) == names


def test_table_has_the_fastest_first_and_each_number_in_its_column():
    head, titles, *rows, columns, seconds = timing_table(target())
    assert head == described(target())
    assert [row.split()[0] for row in rows] == ["baseline", "acmix"]
    assert re.split(" {2,}", titles.strip()) == [
        *("variant", "p50 (ms)", "p95 (ms)", "times stock", "(interval)", "times baseline", "(interval)"),
        "end to end, times stock",
    ]
    assert "times baseline to that of its baseline, each with its 95 % interval." in columns
    assert seconds.startswith("latency.seconds=10 is the longest time for two networks; more take as much longer")
    assert rows[1].split() == (
        ["acmix", "11.25", "12.38", "1.250", "1.240", "to", "1.260", "1.250", "1.240", "to", "1.260", "1.250"]
    )


def test_table_without_a_baseline_has_no_empty_columns():
    before = target()
    alone = {label: replace(timed, to_baseline=None) for label, timed in before.variants.items()}
    assert "baseline" not in timing_table(replace(before, variants=alone))[1]


def test_what_disturbed_it_and_what_is_not_timed_stand_below():
    slow = latency_of(1.25, busy=True, narrow=False, machine=MachineUse(0.7, 2, None, 12.0))
    before = target()
    disturbed = replace(
        before,
        variants={label: replace(timed, latency=slow) for label, timed in before.variants.items()},
        failed={"cbam": "ParityError: differs"},
    )
    assert disturbances(before) == []
    assert timing_table(disturbed)[-4:] == [
        "BUSY: other processes used 0.70 cores",
        "paused for 12 s because the machine was busy or throttled",
        "the time ran out before the interval was 1.0% wide or less: baseline, acmix",
        "not timed: cbam: ParityError: differs",
    ]
