"""A study that is compared by another metric than mAP50-95."""

import csv
import json

import pytest

from tests.fabricate import config_of, declare, write_matches, write_run
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.figures import draw_all
from yolo26_attention.reporting.over_images import with_images
from yolo26_attention.reporting.page import page
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import comma_separated, terminal
from yolo26_attention.study.next_runs import standings
from yolo26_attention.study.outlook import outlook
from yolo26_attention.study.progress import run_states
from yolo26_attention.study.runs import read_study as read_declared

SEEDS = range(4)


@pytest.fixture
def output_dir(tmp_path):
    """ACmix has a better mAP50 and AP of small objects, and a worse mAP50-95."""
    runs = []
    for name, shift in (("baseline", 0.0), ("acmix", 0.1)):
        for seed in SEEDS:
            noise = 0.001 * ((seed * 7 + len(name)) % 4)
            metrics = {"map50_95": 0.5 - shift + noise, "map50": 0.7 + shift + noise, "precision": 0.7, "recall": 0.6}
            sizes = {"small": 0.3 + shift + noise, "medium": 0.6, "large": None}
            folder = write_run(tmp_path, config_of({"name": name}, seed), 0.5, metrics=metrics, ap_by_size=sizes)
            write_matches(folder, seed, 0.5 + shift, images=32)
            runs.append({"run": folder.name, "variant": name, "seed": seed, "baseline": "baseline"})
    declare(tmp_path, "made_up", runs)
    return tmp_path


def with_metric(output_dir, metric, **declared):
    path = output_dir / "studies" / "made_up" / "study.json"
    seeds = [*SEEDS]
    plan = {"seeds": seeds, "baseline_seeds": seeds, "hash": "12345678", "known": 0, "metric": metric, **declared}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"declared": plan}))
    return read_study("made_up", output_dir)


@pytest.mark.parametrize(
    ("metric", "name", "verdict"),
    [
        ("map50_95", "mAP50-95", "worse"),
        ("map50", "mAP50", "better"),
        ("ap_small", "AP of small objects", "better"),
    ],
)
def test_verdict_and_words_are_those_of_the_declared_metric(output_dir, metric, name, verdict):
    results = compare(with_metric(output_dir, metric))
    (about,) = results.judged
    assert about.comparison.verdict == verdict
    said = answer(results)
    assert f"makes yolo26n on digits {verdict}: {name} is" in said.effect
    shown = terminal(results, said, [])
    assert (f": {name}, 4 seeds, no margin" in shown) == (metric != "map50_95")
    html = page(results, said, draw_all(results), "python -m src.report made_up", "2026-11-28 09:00")
    assert f"difference of {name}" in html
    (row,) = [row for row in csv.DictReader(comma_separated(results).splitlines()) if row["variant"] == "acmix"]
    assert float(row[metric]) == pytest.approx(sum(results.variant("acmix").scores.values()) / len(SEEDS))


def test_looks_and_outlook_follow_the_declared_metric(output_dir):
    with_metric(output_dir, "map50", looks=[2, 4], stop=True)
    content = read_declared(output_dir, "made_up")
    states = run_states(output_dir, content.runs)
    assert standings(states, content.declared)["baseline"].arms["acmix"].outcome == "better"
    assert any(" in mAP50 is found with a probability of 80 %" in line for line in outlook(states, content.declared))


@pytest.mark.parametrize(("looks", "end"), [([], "images."), ([2, 4], "and is not adjusted for the declared looks.")])
def test_the_answer_says_for_what_the_interval_over_images_is_not_adjusted(looks, end, output_dir):
    results = with_images(compare(with_metric(output_dir, "map50", looks=looks)), 100)
    (remark,) = [each for each in answer(results).remarks if each.startswith("For other seeds and other images")]
    assert remark.endswith(end)


def test_intervals_over_images_are_of_the_metric_or_said_to_be_missing(output_dir):
    by_map50 = with_images(compare(with_metric(output_dir, "map50")), 100)
    assert by_map50.over_images("acmix") is by_map50.images["acmix"].map50
    assert by_map50.over_both("acmix") is by_map50.both["acmix"].map50
    by_size = with_images(compare(with_metric(output_dir, "ap_small")), 100)
    assert by_size.over_images("acmix") is None
    assert by_size.notes[-1] == (
        "intervals over images are computed for mAP50-95 and mAP50, not for AP of small objects"
    )


def test_runs_without_the_metric_are_listed_and_not_compared(output_dir):
    study = with_metric(output_dir, "ap_large")
    assert {run.problem for run in study.runs} == {"finished with AP of large objects None"}


def test_a_report_by_another_metric_says_what_was_declared(output_dir):
    with_metric(output_dir, "map50")
    results = compare(read_study("made_up", output_dir, "map50_95"))
    assert "the study declares mAP50, but this report compares mAP50-95" in results.notes
