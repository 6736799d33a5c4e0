"""Every run of every shipped study composes, builds, and is the run that the command line would start."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import CONF
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.files.record import Record
from yolo26_attention.plan import networks
from yolo26_attention.plan.checks import check
from yolo26_attention.study.definition import Point, load_study, study_names
from yolo26_attention.study.plan import (
    Composer,
    PlannedRun,
    impossible,
    measured_elsewhere,
    plan_runs,
    refusals,
    same_runs,
)

OF_IMAGES = {"blood_cells"}  # on images that are not in the repository


@pytest.mark.parametrize("name", study_names())
def test_every_point_of_every_study_builds(name, composer, voc_composer):
    planned = plan_runs(load_study(name).points(), voc_composer if name in OF_IMAGES else composer)
    assert not refusals(planned)
    # A variant that another one repeats would be trained once and compared with itself.
    runs = {(run.run, run.point.seed): run.point.variant for run in planned}
    assert len(runs) == len({(run.point.variant, run.point.seed) for run in planned})


def test_variants_that_are_the_same_configuration_are_named():
    def planned(variant, seed, run):
        return PlannedRun(Point(variant, seed, (), {}), None, run)

    runs = [
        planned(name, seed, f"{run}{seed}") for seed in (0, 1) for name, run in (("a", "x"), ("b", "y"), ("c", "x"))
    ]
    assert same_runs(runs) == [
        "note: a and c are the same configuration, so they share their runs and differ in nothing"
    ]
    assert same_runs([planned("a", 0, None), planned("b", 0, None)]) == []


def test_the_studies_that_are_shipped():
    assert set(study_names()) == {
        "acmix_paths",
        "acmix_shift",
        "attention_zoo",
        "blood_cells",
        "components",
        "digits",
        "heads",
        "kernel_att",
        "kernel_conv",
        "model_scale",
        "optimizer",
        "placebo",
        "placement",
    }


def test_a_study_of_images_that_are_not_here_says_how_to_get_them(composer):
    planned = plan_runs(load_study("blood_cells").points()[:1], Composer())
    assert "data.source=FOLDER" in planned[0].refusal
    assert "data.download=true" in planned[0].refusal


def test_the_zoo_has_every_mechanism():
    picked = {
        override for point in load_study("attention_zoo").with_seeds((0,)).points() for override in point.settings
    }
    there = {f"attention={path.stem}" for path in (CONF / "attention").glob("*.yaml")}
    assert picked == there - {"attention=placebo", "attention=mix"}


@pytest.mark.parametrize("name", ["optimizer", "placement"])
def test_planned_together_they_are_the_runs_that_hydra_composes_one_by_one(name, composer, tiny):
    planned = plan_runs(load_study(name).with_seeds((3,)).points(), composer)
    assert [run.run for run in planned[::4]] == [check(tiny(*run.point.overrides)).folder.name for run in planned[::4]]


def test_one_impossible_point_is_named_once_for_all_seeds(composer, tmp_path):
    path = tmp_path / "heads.yaml"
    path.write_text(
        "question: Heads?\nseeds: [0, 1]\nvariants:\n  baseline: {attention: baseline}\n"
        "  acmix: {attention: acmix, attention.heads: [4, 5]}\n  typo: {attention: acmix, attention.head: 4}\n"
    )
    planned = plan_runs(load_study(str(path)).points(), composer)
    heads, typo = refusals(planned)
    assert heads.startswith("impossible: acmix heads=5: ")
    assert "try 4 or 8" in heads
    assert "attention.head" in typo
    assert [run.run is None for run in planned] == [False, False, True, True] * 2


def test_what_is_wrong_with_every_variant_is_said_once(composer):
    planned = plan_runs(load_study("kernel_att").with_seeds((0, 1)).points(["epochs=3", "batch=4"]), composer)
    assert [line.partition(": there")[0] for line in refusals(planned)] == [
        "impossible: every variant: epochs=3",
        "impossible: every variant: batch=4",
    ]
    assert len(impossible(planned)) == 5


def test_a_run_that_two_points_share_is_one_run(composer):
    planned = plan_runs(load_study("kernel_att").with_seeds((0,)).points(["placement=p3"]), composer)
    other = plan_runs(load_study("heads").with_seeds((0,)).points(["placement=p4"]), composer)
    assert planned[0].run == other[0].run  # one baseline serves every placement


def test_what_is_shared_is_looked_up_once(composer, monkeypatch):
    built, grafted = [], []
    build, prepare = networks.build_stock, networks.prepare
    monkeypatch.setattr(networks, "build_stock", lambda *network: built.append(network) or build(*network))
    monkeypatch.setattr(networks, "prepare", lambda *given, **how: grafted.append(given) or prepare(*given, **how))
    plan_runs(load_study("kernel_att").with_seeds(tuple(range(20))).points(), composer)
    assert (len(built), len(grafted)) == (1, 5)


def test_overrides_that_hydra_refuses(composer):
    with pytest.raises(ConfigError, match=r"no/such|attention"):
        composer(["attention=nosuch"])


def test_seconds_of_the_same_training_elsewhere(composer, tmp_path):
    planned = plan_runs(load_study("kernel_att").with_seeds((0,)).points(), composer)
    other = replace(planned[0].config, trainer=replace(planned[0].config.trainer, epochs=99))
    own = planned[1].config
    for number, (config, status, attempts, device) in enumerate(
        [
            (own, "finished", 1, "cpu"),
            (own, "failed", 1, "cpu"),
            (other, "finished", 1, "cpu"),
            (own, "finished", 1, "another"),
        ]
    ):
        folder = tmp_path / "runs" / str(number)
        folder.mkdir(parents=True)
        record = Record("1", "a", "s", 0, config.plain(), status=status, attempts=attempts, seconds=12.5)
        record.environment = {"device": device}
        record.write(folder)
    assert measured_elsewhere(tmp_path, planned) == [12.5]


def test_a_run_of_an_earlier_version_is_said_in_the_plan(composer, monkeypatch):
    found = SimpleNamespace(folder=Path("runs/old"), dataset=SimpleNamespace(notes=["data: a note"]), remark="old run")
    found.device = torch.device("cpu")
    monkeypatch.setattr("yolo26_attention.plan.checks.Checker.check", lambda self, config: found)
    planned = plan_runs(load_study("kernel_att").with_seeds((0,)).points(), composer)
    assert {(run.run, run.notes) for run in planned} == {("old", ("data: a note", "old run"))}
    found.remark = None
    assert plan_runs(load_study("kernel_att").with_seeds((0,)).points(), composer)[0].notes == ("data: a note",)
