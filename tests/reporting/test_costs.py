"""What a report says about costs: image sizes beside GFLOPs, what is not counted, latencies that failed or differ."""

import csv
import io

import pytest

from tests.fabricate import ENVIRONMENT, config_of, latency_of, model_of, write_run
from yolo26_attention.files.latency import NoLatency
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.choice import chosen_columns
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.paper import latex
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated, markdown

BASELINE, ACMIX = {"name": "baseline"}, {"name": "acmix"}


@pytest.fixture
def compared(tmp_path):
    """Compares two runs of either variant; further fields of the records of ACmix."""

    def results(**fields):
        for seed in (0, 1):
            write_run(tmp_path, config_of(BASELINE, seed), 0.50 + seed / 100, **model(5.0, 640))
            write_run(tmp_path, config_of(ACMIX, seed), 0.52 + seed / 90, **{**model(6.0, 640), **fields})
        return compare(read_study("made_up", tmp_path), 0.005)

    return results


def model(gflops, size, *not_counted):
    return {"model": model_of(parameters=10, gflops=gflops, flops_imgsz=size, not_counted=list(not_counted))}


def test_image_size_stands_beside_gflops_everywhere(compared):
    results = compared()
    assert "6\u00a0GFLOPs at 640\u00a0px (+20.0% against the baseline)" in answer(results).cost
    assert "| GFLOPs at 640 px |" in markdown(results, answer(results), [])
    assert "GFLOPs: of the fused network at 640 px." in latex(results)
    (row, *_) = csv.DictReader(io.StringIO(comma_separated(results)))
    assert float(row["model.flops_imgsz"]) == 640


def test_gflops_of_different_sizes_are_not_compared(compared):
    results = compared(**model(1.5, 320))
    assert "GFLOPs are of several image sizes: only those alike compare" in results.notes
    assert "1.5\u00a0GFLOPs at 320\u00a0px." in answer(results).cost
    assert "GFLOPs at 320 and 640 px" in [column.header for column in chosen_columns(results, "default")]


def test_what_is_not_counted_is_a_note(compared):
    assert not [note for note in compared().notes if "do not include" in note]
    notes = compared(**model(6.0, 640, "aten::_fft_r2c (site p3)")).notes
    assert "GFLOPs do not include aten::_fft_r2c (site p3)" in notes


def test_latency_that_failed_is_a_note_and_no_number(compared):
    results = compared(latency=NoLatency("ParityError: differs", {"batch": 1}))
    assert [note for note in results.notes if note.startswith("the latency of 2 runs could not be measured: acmix")]
    assert not [note for note in results.notes if "differ in how they were taken" in note]
    assert "latency" not in answer(results).cost


def test_further_measurements_are_a_note(compared):
    notes = compared(measurements=[latency_of(2.0)]).notes
    assert "further measurements of latency, of 2 runs, are only in the records" in notes


@pytest.mark.parametrize(("key", "what"), [("cpu", "CPU models"), ("driver", "GPU drivers")])
def test_other_machines_are_a_note_where_both_are_known(key, what, compared):
    assert not [note for note in compared(environment={**ENVIRONMENT, key: "one"}).notes if what in note]
    environments = iter(["one", "another"])
    results = compared()
    for run in results.study.runs:
        if run.record.config["attention"]["name"] == "acmix":
            run.record.environment[key] = next(environments)
    note = f"the runs come from 2 {what}; index.html lists them under Versions and hardware"
    assert note in compare(results.study, 0.005).notes
