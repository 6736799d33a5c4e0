"""The report of a study that was timed together, on one target and on two."""

import csv
import io
from dataclasses import replace

import pytest

from tests.fabricate import config_of, declare, latency_of, target_of, write_run
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.latency import MachineUse
from yolo26_attention.files.record import Record
from yolo26_attention.files.timings import Timings
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.choice import cells, chosen_columns
from yolo26_attention.reporting.columns import TERMINAL, every_column
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.figures import trade_off
from yolo26_attention.reporting.page import page
from yolo26_attention.reporting.paper import document, latex
from yolo26_attention.reporting.study import StudyError, read_study
from yolo26_attention.reporting.tables import comma_separated, markdown, terminal

RATIOS = {"baseline": 1.0, "acmix": 1.25, "simam": 1.1}


@pytest.fixture
def study(tmp_path):
    """A study of three variants whose runs measured other latencies by themselves, on a busy machine."""
    entries, runs = [], {}
    for number, label in enumerate(RATIOS):
        for seed in (0, 1):
            own = latency_of(9.0 + seed, busy=True)
            folder = write_run(tmp_path, config_of({"name": label}, seed), 0.5 + number / 50 + seed / 100, latency=own)
            entries.append({"run": folder.name, "variant": label, "seed": seed, "baseline": "baseline"})
            runs.setdefault(label, folder.name)
    declare(tmp_path, "made_up", entries)

    def results(*targets):
        path = OutputFolder(tmp_path).timings("made_up")
        Timings([target_of(ratios, runs, **options) for ratios, options in targets]).write(path)
        return compare(read_study("made_up", tmp_path), 0.005)

    return results


ONE = (RATIOS, {})
TWO = ({"baseline": 1.0, "acmix": 3.1, "simam": 1.3}, {"backend": "onnxruntime"})


def texts(results, name):
    return [cell.text for cell in cells(results, every_column(results)[name])]


def test_study_without_timings_shows_what_its_runs_measured(study):
    results = study()
    assert [variant.ratio.mean for variant in results.variants] == [9.5, 9.5, 9.5]
    assert "latency_baseline" not in every_column(results)
    assert any(
        note.startswith("doubtful latency: the machine was busy during the timing of 6 of 6 runs")
        for note in results.notes
    )


def test_timings_take_the_place_of_what_the_runs_measured(study):
    results = study(ONE)
    assert texts(results, "latency_ratio") == ["1.000 [0.99, 1.01]", "1.250 [1.24, 1.26]", "1.100 [1.09, 1.11]"]
    assert texts(results, "latency_times") == ["1.00", "1.25", "1.10"]
    assert texts(results, "latency_baseline") == ["", "1.250 [1.24, 1.26]", "1.100 [1.09, 1.11]"]
    assert not any("during the timing of" in note for note in results.notes)
    where = "Made-up 9000, eager, fp32, batch 1, 128 px, 1 CPU thread"
    assert f"latency on {where}: all networks timed in turn in 200 rounds, 2026-01-31 12:00 UTC" in results.notes
    assert "1.25 times the latency of the stock model (1.24 to 1.26)" in answer(results).cost or (
        "1.10 times the latency of the stock model (1.09 to 1.11)" in answer(results).cost
    )
    said = answer(results)
    for text in (terminal(results, said, []), markdown(results, said, []), page(results, said, [], "", "")):
        assert "1.250" in text
        assert where in text
    for text in (latex(results), document(results)):
        assert f"latency as a multiple of the stock model&#x27;s on {where}".replace("&#x27;", "'") in text.replace(
            "&#x27;", "'"
        )
    assert where in trade_off(results).caption


def test_several_targets_stand_side_by_side_each_with_its_name(study):
    results = study(ONE, TWO)
    chosen = {column.name: column.header for column in chosen_columns(results, "default", TERMINAL)}
    assert chosen["latency_ratio"] == "latency ratio (eager)"
    assert list(chosen)[list(chosen).index("latency_ratio") + 1] == "latency_ratio_2"
    assert chosen["latency_ratio_2"] == "latency ratio (onnxruntime)"
    assert texts(results, "latency_ratio_2") == ["1.000 [0.99, 1.01]", "3.100 [3.09, 3.11]", "1.300 [1.29, 1.31]"]
    assert "latency_times_2" not in [column.name for column in chosen_columns(results, "default")]
    paper = [column.name for column in chosen_columns(results, "paper")]
    assert paper[paper.index("latency_times") :][:2] == ["latency_times", "latency_times_2"]
    assert "times (onnxruntime)" in answer(results).cost
    assert "of the stock model (eager, " in answer(results).cost
    assert sum("timed in turn" in note for note in results.notes) == 2
    assert page(results, answer(results), [], "", "").count("timed on Made-up 9000") == 2


def test_csv_has_every_target_with_its_description(study):
    results = study(ONE, TWO)
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(comma_separated(results)))}
    acmix = rows["acmix"]
    assert acmix["latency_target_2"].startswith("Made-up 9000, onnxruntime")
    assert [float(acmix[name]) for name in ("latency_ratio", "latency_ratio_2")] == [1.25, 3.1]
    assert float(acmix["latency_ratio_2_low"]) == pytest.approx(3.09)
    assert (rows["baseline"]["latency_baseline"], acmix["latency_baseline_2"]) == ("", "3.1")


def test_fastest_is_bold_only_where_no_interval_meets_its_own(study):
    bold = [cell.best for cell in cells(study(ONE), every_column(study(ONE))["latency_ratio"])]
    assert bold == [True, False, False]
    near = ({"baseline": 1.0, "acmix": 1.25, "simam": 1.015}, {})
    for name in ("latency_ratio", "fps", "images_per_second"):
        results = study(near)
        assert not any(cell.best for cell in cells(results, every_column(results)[name]))


def test_images_per_second_have_no_best_beside_several_stock_models(study, tmp_path):
    def bold(results):
        return [cell.best for cell in cells(results, every_column(results)["fps"])]

    assert bold(study(ONE)) == [True, False, False]
    for path in tmp_path.glob("runs/acmix-*"):
        record = Record.read(path)
        record.config["model"]["name"] = "yolo26s"
        record.write(path)
    assert bold(study(ONE)) == [False, False, False]


def test_variant_that_was_not_timed_has_no_latency(study):
    results = study(({"baseline": 1.0, "simam": 1.1}, {}))
    assert texts(results, "latency_ratio") == ["1.000 [0.99, 1.01]", "", "1.100 [1.09, 1.11]"]
    assert texts(results, "latency_baseline") == ["", "", "1.100 [1.09, 1.11]"]


def test_networks_that_are_no_longer_part_of_the_study_are_not_shown(study, tmp_path):
    study(ONE)
    path = OutputFolder(tmp_path).timings("made_up")
    target = Timings.read(path).targets[0]
    other = {**target.variants, "acmix": replace(target.variants["acmix"], run="another")}
    Timings([replace(target, variants=other)]).write(path)
    results = compare(read_study("made_up", tmp_path), 0.005)
    assert texts(results, "latency_ratio")[1] == ""
    Timings([replace(target, variants={"acmix": other["acmix"]})]).write(path)
    assert not read_study("made_up", tmp_path).targets


def test_disturbance_and_failure_are_notes(study, tmp_path):
    study(ONE)
    path = OutputFolder(tmp_path).timings("made_up")
    target = Timings.read(path).targets[0]
    busy = latency_of(1.2, busy=True, machine=MachineUse(0.5, 2))
    disturbed = {label: replace(timed, latency=busy) for label, timed in target.variants.items()}
    Timings([replace(target, variants=disturbed, failed={"cbam": "ParityError: differs"})]).write(path)
    results = compare(read_study("made_up", tmp_path), 0.005)
    (note,) = [note for note in results.notes if note.startswith("doubtful latency on Made-up 9000")]
    assert note.endswith("UTC; BUSY: other processes used 0.50 cores")
    assert any(note.startswith("cbam is not timed on Made-up 9000, eager") for note in results.notes)
    assert "machine busy" in answer(results).cost


def test_damaged_timings_are_said(study, tmp_path):
    study(ONE)
    OutputFolder(tmp_path).timings("made_up").write_text("{")
    with pytest.raises(StudyError, match=r"timings\.json of study made_up cannot be read .* move it away"):
        read_study("made_up", tmp_path)
