"""Data other than the digits are trained with the recipe for a GPU unless another one is chosen."""

import os

import pytest

from yolo26_attention.config.command_line import exit_with, hydra_command, tell_recipe
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.recipe import recipe_for
from yolo26_attention.study.definition import with_recipe


@pytest.mark.parametrize("given", ["data.yaml=my/data.yaml", "data=coco", "data=coco,voc", "data=choice(coco,bccd)"])
def test_other_data_choose_the_full_recipe(given):
    assert recipe_for([given, "attention=se"]) == ["trainer=full"]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["data=digits"],
        ["data=digits,coco"],
        ["data=choice(digits,bccd)"],
        ["data=shuffle(bccd, digits)"],
        ["data.yaml=null"],
        ["data=coco", "trainer=debug"],
        ["data=coco", "point=size/se"],
    ],
)
def test_the_digits_a_chosen_recipe_and_a_point_are_left_alone(given):
    assert recipe_for(given) == []


def test_a_variant_of_a_study_has_the_recipe_of_its_data():
    assert with_recipe({"data": "coco"}) == {"data": "coco", "trainer": "full"}
    assert with_recipe({"data": "digits"}) == {"data": "digits"}


def test_the_recipe_is_told_once_and_only_when_the_command_is_right(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train", "data=coco", "epochs=3"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit, match="error: epochs=3"), hydra_command("again"):
        raise ConfigError("epochs=3: there is no option epochs")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.argv", ["train", "data=coco"])
    with hydra_command("again"):
        tell_recipe()
        tell_recipe()
    assert capsys.readouterr().err.count("trainer=full, as the data are not the digits") == 1
    monkeypatch.setattr("sys.argv", ["train"])
    with hydra_command("again"):
        tell_recipe()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("given", [None, "0", "1"])
def test_a_command_leaves_no_wish_for_tracebacks_behind(given, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    if given is not None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", given)
    with hydra_command("again"):
        assert os.environ["HYDRA_FULL_ERROR"] == "1"
    assert os.environ.get("HYDRA_FULL_ERROR") == given
    with pytest.raises(SystemExit, match="error: full"):
        exit_with(ConfigError("full"))
