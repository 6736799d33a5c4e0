"""Sites are found by role in every model of the family."""

import copy

import pytest
import torch
from torch import nn
from ultralytics.nn.tasks import (
    ClassificationModel,
    OBBModel,
    PoseModel,
    SegmentationModel,
)

from yolo26_attention.config.models import YOLO26
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.sites import choose_sites, find_sites
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

SE = "yolo26_attention.attention.from_timm.se"
BACKBONE = ["backbone_p2", "backbone_p3", "backbone_p4", "backbone_p5", "sppf", "c2psa"]


@pytest.fixture(scope="module")
def stock():
    return build_stock("yolo26n", classes=10, channels=3)


@pytest.fixture(scope="module")
def sites(stock):
    return find_sites(stock)


def test_sites_of_yolo26n(sites):
    assert {name: (s.layer, s.in_channels, s.channels, s.height, s.width) for name, s in sites.items()} == {
        "backbone_p2": (2, 32, 64, 16, 16),
        "backbone_p3": (4, 64, 128, 8, 8),
        "backbone_p4": (6, 128, 128, 4, 4),
        "backbone_p5": (8, 256, 256, 2, 2),
        "sppf": (9, 256, 256, 2, 2),
        "c2psa": (10, 256, 256, 2, 2),
        "p3": (16, 256, 64, 8, 8),
        "p4": (19, 192, 128, 4, 4),
        "p5": (22, 384, 256, 2, 2),
    }


@pytest.mark.parametrize("name", YOLO26)
def test_sites_of_every_model(name):
    model = build_stock(name, classes=3, channels=3)
    sites = find_sites(model, imgsz=64)
    coarsest = 6 if name.endswith("-p6") else 5
    finest = 2 if name.endswith("-p2") else 3
    neck = [f"p{level}" for level in range(finest, coarsest + 1)]
    assert list(sites) == [*(f"backbone_p{level}" for level in range(2, coarsest + 1)), "sppf", "c2psa", *neck]
    assert [sites[p].channels for p in neck] == [branch[0].conv.in_channels for branch in model.model[-1].cv2]
    assert all(sites[p].height == sites[p].width == 64 >> int(p[-1]) for p in sites if p[-1].isdigit())
    blocks = {name: type(model.model[site.layer]).__name__ for name, site in sites.items()}
    assert {name for name, block in blocks.items() if block != "C3k2"} == {"sppf", "c2psa"}
    assert (blocks["sppf"], blocks["c2psa"]) == ("SPPF", "C2PSA")


@pytest.mark.parametrize(
    ("model_class", "name"),
    [
        pytest.param(SegmentationModel, "yolo26n-seg.yaml", id="seg"),
        pytest.param(PoseModel, "yolo26n-pose.yaml", id="pose"),
        pytest.param(OBBModel, "yolo26n-obb.yaml", id="obb"),
    ],
)
def test_sites_of_other_heads_are_those_of_detection(model_class, name, sites):
    assert find_sites(model_class(name, nc=3, verbose=False)) == sites


def test_classification_has_a_backbone_and_no_neck():
    model = ClassificationModel("yolo26n-cls.yaml", nc=3, verbose=False)
    sites = find_sites(model)
    assert list(sites) == [name for name in BACKBONE if name != "sppf"]
    with pytest.raises(ValueError, match=r"no site 'neck' here; it has backbone_p2, .*, c2psa, and the sets"):
        choose_sites(["neck"], sites)
    graft(model, Graft(SE, {}, ("all",)))
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 64, 64))[0].shape == (1, 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["neck"], ["p3", "p4", "p5"], id="neck"),
        pytest.param(["backbone"], BACKBONE[:4], id="backbone"),
        pytest.param(["all"], [*BACKBONE, "p3", "p4", "p5"], id="all"),
        pytest.param(["p3", "c2psa"], ["c2psa", "p3"], id="free-list-in-network-order"),
        pytest.param(["neck", "p4", "sppf"], ["sppf", "p3", "p4", "p5"], id="set-and-sites-once-each"),
    ],
)
def test_sets_and_lists(names, expected, sites):
    assert [site.name for site in choose_sites(names, sites)] == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["p3", "p6"],
            r"placement.sites=\[p3,p6\]: no site 'p6' here; it has backbone_p2, .*, p5, and the sets neck, backbone",
            id="level",
        ),
        pytest.param(["p"], "no site 'p' here", id="part-of-a-name"),
        pytest.param(["p."], "no site 'p.' here", id="pattern"),
        pytest.param([], r"placement.sites=\[\]: attention needs a site; it has backbone_p2", id="none"),
    ],
)
def test_unknown_sites_name_those_there_are(names, message, sites):
    with pytest.raises(ValueError, match=message):
        choose_sites(names, sites)


@pytest.mark.parametrize("mode", ["append", "replace", "bottleneck"])
def test_grafted_blocks_remain_sites(mode, stock, sites):
    model = copy.deepcopy(stock)
    graft(model, Graft(SE, {}, ("p3", "backbone_p4"), mode=mode))
    assert find_sites(model) == sites


def test_looking_for_sites_leaves_the_model_as_it_was(stock):
    before = copy.deepcopy(stock.state_dict())
    modes = [module.training for module in stock.modules()]
    find_sites(stock)
    assert [module.training for module in stock.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in stock.state_dict().items())


def test_model_without_blocks_of_yolo26_is_refused(stock):
    model = copy.deepcopy(stock)
    model.model = nn.Sequential(model.model[0], model.model[1])
    with pytest.raises(ValueError, match="no block to graft; it ends in Conv"):
        find_sites(model)
