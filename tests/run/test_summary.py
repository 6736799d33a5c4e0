"""What a finished run shows in the terminal."""

from pathlib import Path

import pytest

from tests.fabricate import match_of, model_of
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.files.record import Record
from yolo26_attention.run.summary import table


def shown(**changes):
    """The rows of a record's table, by their first word or words."""
    model = {"gflops": 6.09, "thop_gflops": 5.5, "stock_tensors_loaded": 700}
    values = {
        "metrics": {"map50_95": 0.25, "map50": 0.5, "precision": 0.75, "recall": 0.125},
        "model": model_of(**model, **changes.pop("model", {})),
        "ap_by_size": {"small": 0.5, "large": None},
        "seconds": 7.4,
        **changes,
    }
    record = Record(run_id="abc", name="acmix-p3", study="s", seed=0, config={}, **values)
    rows = [line.split("  ", 1) for line in table(record, Path("/runs/acmix-p3")).splitlines()]
    return {name: text.strip() for name, text in rows}


def test_every_number_stands_beside_its_name():
    rows = shown(events=[Entry(Kind.BATCH_HALVED)])
    expected = {"mAP50-95": "0.2500", "mAP50": "0.5000", "precision": "0.7500", "recall": "0.1250", "time": "7 s"}
    expected |= {"AP by size": "small 0.5000, large none here", "parameters": "2,500,000 (fused)"}
    expected |= {"events": "batch_halved", "weights": "/runs/acmix-p3/train/weights/best.pt", "run": "acmix-p3"}
    assert {name: rows[name] for name in expected} == expected
    assert rows["GFLOPs"].startswith("6.09")
    assert "5.500" in rows["GFLOPs"]
    assert shown()["events"] == "none"


@pytest.mark.parametrize(("score", "said"), [(1e-5, True), (0.0, True), (0.002, False)])
def test_a_network_that_learned_nothing_is_called_that(score, said):
    rows = shown(metrics={"map50_95": score, "map50": score, "precision": 0.0, "recall": 0.0})
    assert ("learned nothing" in rows["mAP50-95"]) is said


def test_tensors_without_a_place_are_named_block_by_block():
    assert shown(model={"stock_tensors_lost": ["model.16.a"]})["stock tensors"].endswith("no place: model.16.a")
    many = [f"model.{block}.cv.{n}" for block in (16, 19) for n in range(3)]
    text = shown(model={"stock_tensors_lost": many})["stock tensors"]
    assert text == "700 of 708 loaded from weights; 6 have no place: model.16.* (3 tensors), model.19.* (3 tensors)"


def test_the_worst_match_of_a_placebo_is_shown():
    matches = {"p3": match_of(0.001), "p4": match_of(-0.02)}
    assert shown(model={"placebo": matches})["placebo"].startswith("parameters within 2.00% of")


def test_a_tracked_run_says_how_to_look_at_it():
    rows = shown(tracking="/w/offline-run-1")
    assert (rows["look at it"], rows["upload it"]) == ("wandb leet /w/offline-run-1", "wandb sync /w/offline-run-1")
    assert "upload it" not in shown()


def test_a_run_whose_server_has_all_of_it_is_not_to_be_uploaded():
    assert "upload it" not in shown(tracking="/w/run-1")
    lost = [Entry(Kind.TRACKING_LOST, 0.0, {"problem": "the server did not answer"})]
    assert shown(tracking="/w/run-1", events=lost)["upload it"] == "wandb sync --include-online /w/run-1"
