"""What keeps a report from passing a verdict, and what it says beside one."""

import csv
import io
import json
import re
import shutil
from types import SimpleNamespace

import pytest

from src.report import Options, report
from tests.fabricate import config_of, declare, model_of, write_matches, write_run
from yolo26_attention.files.journal import Entry, Kind
from yolo26_attention.reporting.answer import answer
from yolo26_attention.reporting.caveats import ceiling_of, unequal
from yolo26_attention.reporting.comparison import compare
from yolo26_attention.reporting.figures import draw_all
from yolo26_attention.reporting.study import read_study
from yolo26_attention.reporting.tables import terminal

BASELINE, ACMIX, CBAM = {"name": "baseline"}, {"name": "acmix", "kernel_att": 7}, {"name": "cbam"}
NOTHING = [1.1e-5, 0.9e-5, 1.3e-5, 1.0e-5]
GOOD, BETTER = [0.500, 0.502, 0.498, 0.501], [0.600, 0.603, 0.599, 0.602]


def results_of(output_dir, margin=0.005):
    return compare(read_study("made_up", output_dir), margin)


def write(output_dir, attention, scores, **fields):
    return [
        write_run(output_dir, config_of(attention, seed, **fields), score, ratio=1 + 0.1 * len(attention))
        for seed, score in enumerate(scores)
    ]


def verdict_rows(text, label):
    """The row of the comparison table that begins with the label."""
    return next(line for line in text.splitlines() if re.match(rf"\|? *{label} ", line) and "4/4" in line)


@pytest.mark.parametrize(
    ("base", "acmix", "effect"),
    [
        (NOTHING, NOTHING[::-1], "No verdict: neither acmix nor baseline has learned anything. mAP50-95 is 1.1e-05"),
        (GOOD, NOTHING, "No verdict: acmix has not learned anything. mAP50-95 is 1.1e-05 instead of 0.5;"),
        (NOTHING, GOOD, "No verdict: baseline has not learned anything. mAP50-95 is 0.5 instead of 1.1e-05;"),
    ],
    ids=["both", "variant", "baseline"],
)
def test_networks_that_learned_nothing_get_no_verdict_anywhere(base, acmix, effect, tmp_path):
    write(tmp_path, BASELINE, base)
    write(tmp_path, ACMIX, acmix)
    for folder in (tmp_path / "runs").iterdir():
        write_matches(folder, 0, 0.5)
    shown = report(Options("made_up", str(tmp_path), resamples=20, looks=False))
    results = results_of(tmp_path)
    folder = tmp_path / "studies" / "made_up" / "report"
    written = {name: (folder / name).read_text() for name in ("report.md", "table.csv", "table.tex", "index.html")}
    for text in (shown, written["report.md"], written["index.html"]):
        assert effect in re.sub("&#39;|&nbsp;", " ", text)
        assert "cannot be told apart" not in text.lower()
        assert "Over validation images" not in text
    for text in (shown, written["report.md"]):
        row = verdict_rows(text, "acmix")
        assert "no verdict: " in row
        assert not re.search(r"better|worse|no difference|[−+]0\.", row)
    row = next(row for row in csv.DictReader(io.StringIO(written["table.csv"])) if row["variant"] == "acmix")
    assert row["verdict"] == "unlearned"
    assert {
        row[name] for name in ("p", "p_paired", "p_sign_flip", "error", "paired", "difference", "difference_low")
    } == {""}
    assert float(row["map50_95"]) == pytest.approx(sum(acmix) / 4)
    assert "difference" not in written["table.tex"].split("\\toprule")[1]
    assert "No test of what learned nothing: " + ", ".join(results.unlearned) in written["table.tex"]
    captions = {picture.key: picture.caption for picture in draw_all(results)}
    assert "differences" not in captions
    assert all("No verdict on what learned nothing: " in caption for caption in captions.values())
    assert 'class="scale"' not in written["index.html"]
    assert "difference of mAP50-95" not in written["index.html"]


def test_that_nothing_learned_anything_is_said_once(tmp_path):
    write(tmp_path, BASELINE, NOTHING)
    write(tmp_path, ACMIX, NOTHING)
    write(tmp_path, CBAM, NOTHING)
    results = results_of(tmp_path)
    said = answer(results)
    assert said.effect.startswith("No verdict: none of the 3 variants has learned anything. The highest mAP50-95 is ")
    assert not any("learned nothing" in note for note in results.notes)


def test_several_that_learned_nothing_have_one_note(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, NOTHING)
    write(tmp_path, CBAM, NOTHING)
    (note,) = (note for note in results_of(tmp_path).notes if "learned nothing" in note)
    assert note.startswith("acmix and cbam learned nothing: their mAP50-95 of 1.1e-05, 1.1e-05 is at most 0.005, ")


def test_what_learned_nothing_stands_beside_a_verdict_on_the_others(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, BETTER)
    write(tmp_path, CBAM, NOTHING)
    results = results_of(tmp_path)
    said = answer(results)
    assert said.effect.startswith("acmix makes yolo26n on digits better")
    assert "No verdict on what learned nothing: cbam." in said.remarks
    assert results.groups == ()
    assert any(
        note.startswith("cbam learned nothing: its mAP50-95 of 1.1e-05 is at most 0.005") for note in results.notes
    )
    pictures = {picture.key: picture for picture in draw_all(results)}
    assert "cbam" not in pictures["differences"].alt
    assert "in both: baseline, acmix" in pictures["trade_off"].caption


def test_a_margin_above_every_score_passes_no_verdict(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, BETTER)
    assert answer(results_of(tmp_path, margin=0.7)).effect.startswith("No verdict: neither acmix nor baseline")


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "inf", "1"])
def test_a_margin_that_is_none_is_refused(margin, monkeypatch):
    from src.report import main

    monkeypatch.setattr("sys.argv", ["report", "made_up", f"margin={margin}"])
    with pytest.raises(SystemExit, match=f"margin={margin} is "):
        main()


def test_without_a_baseline_untrained_scores_are_called_that(tmp_path):
    write(tmp_path, ACMIX, NOTHING)
    assert "up to 0.005 cannot be told from an untrained network's" in answer(results_of(tmp_path)).cost


def test_one_seed_that_collapsed_is_named(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, [0.6, 0.603, 0.0, 0.602])
    assert "acmix learned nothing with seed 2 (0), which widens its interval" in results_of(tmp_path).notes


def test_a_copied_record_counts_once(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    folder = write(tmp_path, ACMIX, [0.6, 0.603])[0]
    for seed in (2, 3):
        other = folder.with_name(f"copy-{seed}")
        shutil.copytree(folder, other)
        record = json.loads((other / "record.json").read_text())
        (other / "record.json").write_text(json.dumps({**record, "seed": seed, "name": other.name}))
    results = results_of(tmp_path)
    assert results.variant("acmix").comparison.difference.n == 2
    assert [run.status for run in results.study.runs if not run.counts] == ["copy", "copy"]
    assert "all its results are those of seed 0 to the last digit" in terminal(results, answer(results), [])


def test_seeds_without_an_effect_are_one_pair(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    for seed in range(4):
        metrics = {"map50_95": 0.6, "map50": 0.8, "precision": 0.7, "recall": 0.6}
        write_run(tmp_path, config_of(ACMIX, seed), 0.6, **{"metrics": metrics})
    comparison = results_of(tmp_path).variant("acmix").comparison
    assert (comparison.verdict, comparison.p, comparison.difference.n) == ("undecided", None, 1)


def test_equal_scores_of_seeds_are_pointed_at(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, [0.6, 0.6, 0.61, 0.62])
    assert (
        "several seeds of acmix have the very same mAP50-95: did the seed have an effect?" in results_of(tmp_path).notes
    )


def test_a_record_of_another_seed_is_left_out(tmp_path):
    folders = write(tmp_path, BASELINE, GOOD[:2])
    shutil.copy(folders[0] / "record.json", folders[1])
    entries = [{"run": f.name, "variant": "baseline", "seed": seed} for seed, f in enumerate(folders)]
    declare(tmp_path, "made_up", entries)
    runs = results_of(tmp_path).study.runs
    assert [run.problem for run in runs] == [None, "its record is that of seed 0, where seed 1 is expected"]


def test_scores_of_the_baseline_say_that_the_graft_had_no_effect(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, GOOD)
    said = answer(results_of(tmp_path))
    assert said.effect.startswith("acmix has the very scores of baseline for yolo26n on digits")
    assert any("graft had no effect" in remark for remark in said.remarks)


def test_a_baseline_at_the_ceiling_is_said_to_leave_no_room(tmp_path):
    write(tmp_path, BASELINE, [0.995, 0.995, 0.994])
    write(tmp_path, ACMIX, [0.995, 0.994, 0.995])
    results = results_of(tmp_path)
    assert any("leaves no room for an improvement" in remark for remark in answer(results).remarks)
    assert all(run.counts for run in results.study.runs)
    write(tmp_path, BASELINE, GOOD)
    assert not any("leaves no room" in remark for remark in answer(results_of(tmp_path)).remarks)


def test_the_ceiling_is_that_of_the_metric():
    assert [ceiling_of(metric) for metric in ("map50_95", "map50", "ap_small")] == [0.995, 0.995, 1.0]


@pytest.mark.parametrize(("margin", "said"), [(0.2, True), (0.05, False)])
def test_a_margin_that_is_much_of_the_score_is_remarked(margin, said, tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, [0.501, 0.499, 0.5, 0.501])
    found = answer(results_of(tmp_path, margin))
    assert "no difference larger" in found.effect
    assert any("% of the baseline's mAP50-95" in remark for remark in found.remarks) is said


def test_events_of_the_baseline_stand_beside_the_verdict(tmp_path):
    write(tmp_path, ACMIX, BETTER)
    for seed, score in enumerate(GOOD):
        write_run(tmp_path, config_of(BASELINE, seed), score, events=[Entry(Kind.BATCH_HALVED)])
    remark = "Something happened to runs of baseline that may have changed their numbers: batch_halved in 4."
    assert remark in answer(results_of(tmp_path)).remarks


def test_equal_scores_at_the_ceiling_are_no_copies(tmp_path):
    for seed in range(2):
        perfect = {"map50_95": 0.995, "map50": 0.995, "precision": 1.0, "recall": 1.0}
        write_run(tmp_path, config_of(ACMIX, seed), 0.995, metrics=perfect)
    assert [run.status for run in results_of(tmp_path).study.runs] == ["finished", "finished"]


def test_events_stand_beside_the_verdict(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    for seed, score in enumerate(BETTER):
        events = [Entry(Kind.NAN_RECOVERY)] * 2 if seed < 2 else [Entry(Kind.TRACKING_LOST)]
        write_run(tmp_path, config_of(ACMIX, seed), score, events=events)
    results = results_of(tmp_path)
    remark = "Something happened to runs of acmix that may have changed their numbers: nan_recovery in 2."
    assert remark in answer(results).remarks
    (note,) = [note for note in results.notes if note.startswith("events")]
    assert "in 2 runs: acmix-kernel_att7-12-s0 (nan_recovery), acmix-kernel_att7-12-s1 (nan_recovery)" in note


def test_what_differs_beside_the_attention_stands_beside_the_verdict(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, BETTER, trainer__imgsz=256)
    assert (
        "The attention is not all that differs from baseline: so do trainer.imgsz."
        in answer(results_of(tmp_path)).remarks
    )


def test_runs_of_one_variant_that_differ_among_themselves_are_noted(tmp_path):
    folders = write(tmp_path, BASELINE, GOOD[:1]) + write(tmp_path, BASELINE, GOOD[:2], trainer__epochs=13)[1:]
    declare(tmp_path, "made_up", [{"run": f.name, "variant": "b", "seed": i} for i, f in enumerate(folders)])
    assert "the runs of b differ among themselves in trainer.epochs" in results_of(tmp_path).notes


def test_costs_that_only_some_seeds_have_are_no_cost_of_the_variant(tmp_path):
    write(tmp_path, BASELINE, GOOD[:2])
    write_run(tmp_path, config_of(ACMIX, 0), 0.6, model=model_of(parameters=10, gflops=1.0))
    write_run(tmp_path, config_of(ACMIX, 1), 0.61, model=model_of(parameters=30, gflops=None), latency=None)
    numbers = results_of(tmp_path).variant("acmix").numbers
    assert numbers["model.parameters"] == 20
    assert not {"model.gflops", "latency.p50_ms"} & numbers.keys()


def ran(identity, **training):
    """A variant of one run, as far as `unequal` reads it."""
    data = {"identity": identity, "train": {"at": identity}}
    return SimpleNamespace(records=[SimpleNamespace(data=data, training=training, checkpoints={})])


def test_data_by_content_and_training_as_it_ran_are_compared():
    """Of what Ultralytics decides, all but what is the graft's own or changes no number."""
    base = ran("a", batch=8, precision="fp32", imgsz=[64, 64], frozen={"attention": []}, threads=1)
    assert (
        unequal(ran("a", batch=8, precision="fp32", imgsz=[64, 64], frozen={"attention": ["x"]}, threads=2), base) == ()
    )
    assert unequal(ran("b", batch=4, precision="fp16", imgsz=[32, 96]), base) == (
        "data.identity", "training.batch", "training.precision", "training.imgsz",
    )  # fmt: skip
    earlier = SimpleNamespace(records=[SimpleNamespace(data={}, training={}, checkpoints={})])
    assert unequal(earlier, base) == ()


def test_no_margin_is_so_small_that_untrained_scores_differ(tmp_path):
    write(tmp_path, BASELINE, NOTHING)
    write(tmp_path, ACMIX, [score * 10 for score in NOTHING])
    said = answer(results_of(tmp_path, margin=1e-6)).effect
    assert said.startswith("No verdict: neither acmix nor baseline has learned anything")
    assert "up to 0.001 it cannot be told" in said


def test_equal_scores_at_the_floor_are_no_copies(tmp_path):
    for seed in range(2):
        nothing = dict.fromkeys(("map50_95", "map50", "precision", "recall"), 0.0)
        write_run(tmp_path, config_of(ACMIX, seed), 0.0, metrics=nothing)
    assert [run.status for run in results_of(tmp_path).study.runs] == ["finished", "finished"]


def test_facts_that_differ_are_confounds(tmp_path, monkeypatch):
    monkeypatch.setattr("yolo26_attention.reporting.references.unequal", lambda variant, reference: ("data.identity",))
    write(tmp_path, BASELINE, GOOD)
    write(tmp_path, ACMIX, BETTER)
    assert results_of(tmp_path).variant("acmix").confounds == ("data.identity",)


def test_what_learned_nothing_is_on_no_front_however_cheap(tmp_path):
    for attention, ratio, scores in ((BASELINE, 1.0, GOOD), (ACMIX, 1.2, BETTER), (CBAM, 0.5, NOTHING)):
        for seed, score in enumerate(scores):
            write_run(tmp_path, config_of(attention, seed), score, ratio=ratio)
    pictures = {picture.key: picture for picture in draw_all(results_of(tmp_path))}
    assert "in both: baseline, acmix." in pictures["trade_off"].caption


WEIGHTS = "model.weights by content"


def test_starting_checkpoints_with_other_content_under_one_path_are_a_confound(tmp_path):
    for attention, scores, digest in ((BASELINE, GOOD, "a" * 64), (ACMIX, BETTER, "b" * 64)):
        for seed, score in enumerate(scores):
            config = config_of(attention, seed, model__weights="w.pt")
            write_run(tmp_path, config, score, checkpoints={"weights": digest, "best": f"{attention}{seed}"})
    results = results_of(tmp_path)
    assert results.variant("acmix").confounds == (WEIGHTS,)
    assert f"The attention is not all that differs from baseline: so do {WEIGHTS}." in answer(results).remarks


def test_seeds_of_a_variant_that_started_from_other_checkpoints_are_noted(tmp_path):
    for seed, score in enumerate(GOOD):
        digests = [{"weights": "a" * 64}, {"weights": "b" * 64}, {"weights": "a" * 64}, {}]
        write_run(tmp_path, config_of(BASELINE, seed), score, checkpoints=digests[seed])
    assert f"the runs of baseline differ among themselves in {WEIGHTS}" in results_of(tmp_path).notes


def test_a_record_without_digests_differs_in_nothing_from_one_with_them(tmp_path):
    for seed, score in enumerate(GOOD):
        write_run(tmp_path, config_of(BASELINE, seed), score, checkpoints={"weights": "a" * 64} if seed else {})
    assert not [note for note in results_of(tmp_path).notes if "differ among themselves" in note]


def test_a_checkpoint_that_was_replaced_is_noted(tmp_path):
    write(tmp_path, BASELINE, GOOD)
    folder = write_run(tmp_path, config_of(ACMIX, 0), 0.6, checkpoints={"best": "0" * 64})
    (folder / "train" / "weights").mkdir(parents=True)
    (folder / "train" / "weights" / "best.pt").write_bytes(b"another")
    (note,) = [note for note in results_of(tmp_path).notes if "best.pt" in note]
    assert note.startswith("best.pt of 1 run is not the checkpoint that they trained")
    assert folder.name in note
