"""What a run says about itself before it trains, and about its place among others."""

from dataclasses import replace

import pytest

from yolo26_attention.data.held_out import HeldOut
from yolo26_attention.data.survey import Split
from yolo26_attention.plan.checks import check
from yolo26_attention.run.first_screen import first_lines
from yolo26_attention.run.sweep_position import nothing_swept, position, sweep_of, took


@pytest.fixture(scope="module")
def plan(tiny):
    return check(tiny("attention=simam", "placement=p3"))


def shown(plan, resumes=False, **trainer):
    config = replace(plan.config, trainer=replace(plan.config.trainer, **trainer))
    return first_lines(replace(plan, config=config), resumes).splitlines()


def test_run_data_and_recipe(plan):
    run, data, recipe = shown(plan)
    assert run == f"run      {plan.folder} starts"
    objects = [split.objects for split in plan.dataset.splits.values()]
    assert min(objects) > 8
    assert data == (
        f"data     digits, 10 classes: train 16 images, {objects[0]} objects; val 8 images, {objects[1]} objects; "
        "no test images"
    )
    assert recipe == ("recipe   1 epoch at 64 px, batch 4, MuSGD with lr0 0.01, from random values, seed 0, device cpu")


def test_a_resumed_run_says_so(plan):
    assert shown(plan, resumes=True)[0] == f"run      {plan.folder} is resumed"


def test_images_without_objects_and_a_test_split(plan):
    splits = {"train": Split(1, objects=1), "val": Split(1200, unlabelled=3, backgrounds=4, objects=9000)}
    dataset = replace(plan.dataset, splits=splits, held_out=HeldOut("", Split(5, objects=7), "abc"))
    data = first_lines(replace(plan, dataset=dataset), False).splitlines()[1]
    assert "train 1 image, 1 object; val 1,200 images (7 without objects), 9,000 objects; test 5 images" in data


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ({"epochs": 12}, "12 epochs at 64 px, batch 4"),
        ({"steps": 500}, "500 optimizer steps at 64 px"),
        ({"time": 0.5}, "0.5 hours at 64 px"),
        ({"batch": 0.7}, "batch for 70% of the memory"),
        ({"batch": -1}, "batch for 60% of the memory"),
        ({"multi_scale": 0.25}, "at 64 px ± 25%"),
        ({"device": "0,1"}, "device 0,1"),
    ],
)
def test_the_recipe_is_the_one_of_the_options(trainer, said, plan):
    assert said in shown(plan, **trainer)[2]


def test_a_checkpoint_and_an_optimizer_that_ultralytics_chooses(tiny, plan):
    auto = check(tiny("attention=simam", "placement=p3", "optimizer=auto"))
    lines = first_lines(replace(auto, arguments={**auto.arguments, "pretrained": "/some/where/yolo26n.pt"}), False)
    assert "batch 4, auto, from yolo26n.pt, seed 0" in lines


def test_place_in_a_sweep():
    assert position(0) is None
    took(5.0)  # outside of a sweep nobody counts
    assert not nothing_swept(0)
    with sweep_of(1):
        assert nothing_swept(0)
    with sweep_of(36):
        assert not nothing_swept(0)
        assert position(0) == "run 1 of 36"
        took(100.0)
        took(140.0)
        assert position(2) == "run 3 of 36; about 68 min left at 2 min a run"
    assert position(3) is None
