"""Data other than the digits are trained with the recipe for a GPU unless another one is chosen."""

import pytest

from yolo26_attention.config.recipe import recipe_for
from yolo26_attention.study.definition import with_recipe


@pytest.mark.parametrize("given", ["data.yaml=my/data.yaml", "data=coco", "data=coco,voc"])
def test_other_data_choose_the_full_recipe(given):
    assert recipe_for([given, "attention=se"]) == ["trainer=full"]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["data=digits"],
        ["data=digits,coco"],
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
