"""trainer.freeze freezes the stock network and never the graft."""

import copy

import pytest
import torch
from torch import nn

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.detector.freezing import check_freeze, freeze_parameters, frozen_paths, graft_gradients
from yolo26_attention.detector.grafted import graft_parts
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

KINDS = [
    pytest.param("all", "append", "none", id="append"),
    pytest.param("all", "append", "zero", id="gated"),
    pytest.param("all", "replace", "none", id="replace"),
    pytest.param("backbone", "bottleneck", "none", id="bottleneck"),
]


@pytest.fixture(scope="module")
def stock():
    return build_stock("yolo26n", classes=10, channels=3)


@pytest.fixture(scope="module")
def grafted(stock):
    def build(sites, mode="append", gate="none", name="cbam"):
        model = copy.deepcopy(stock)
        graft(model, Graft(*resolve_options(name, {}), (sites,), 0, mode, gate))
        return model

    return build


def frozen_by_ultralytics(model, freeze):
    """Names of the parameters that Ultralytics' own loop over name prefixes freezes."""
    chosen = range(freeze) if isinstance(freeze, int) else freeze
    prefixes = [f"model.{index}." for index in chosen]
    return {name for name, _ in model.named_parameters() if any(prefix in name for prefix in prefixes)}


@pytest.mark.parametrize(("sites", "mode", "gate"), KINDS)
@pytest.mark.parametrize("freeze", [10, [4, 16, 23], "stock"])
def test_the_stock_parameters_of_the_layers_are_frozen_and_no_other(freeze, sites, mode, gate, stock, grafted):
    model = grafted(sites, mode, gate)
    layers = range(24) if freeze == "stock" else range(freeze) if isinstance(freeze, int) else freeze
    wanted = frozen_by_ultralytics(stock, list(layers)) & {name for name, _ in model.named_parameters()}
    assert frozen_by_ultralytics(model, frozen_paths(model, freeze)) == wanted
    assert len(graft_parts(model)) > 0


def test_paths_of_a_checkpoint_that_trains_on_are_taken_as_they_are(grafted):
    model = grafted("all")
    paths = frozen_paths(model, 10)
    assert frozen_by_ultralytics(model, frozen_paths(model, paths)) == frozen_by_ultralytics(model, paths)


def test_a_stock_model_is_frozen_as_ultralytics_does(stock):
    assert frozen_paths(stock, 10) == 10
    assert frozen_paths(stock, [3]) == [3]
    assert frozen_paths(stock, None) is None


@pytest.mark.parametrize("freeze", [1, 10, 23, [0], [0, 16], "stock"])
def test_what_freezes_a_part_is_taken(freeze, grafted):
    check_freeze(grafted("neck"), freeze, False)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (0, r"trainer.freeze=0 freezes nothing; give a number of layers"),
        (-3, r"trainer.freeze=-3 freezes nothing"),
        ([], r"trainer.freeze=\[\] freezes nothing"),
        ([99], r"trainer.freeze=\[99\]: there is no layer 99; this network has layers 0 to 23"),
        ([3, -1], r"trainer.freeze=\[3,-1\]: there is no layer -1"),
        (99, r"trainer.freeze=99: this network has 24 layers; give fewer, or stock"),
        (24, r"trainer.freeze=24 freezes the whole stock network; use trainer.freeze=stock"),
        ([11, 12], r"trainer.freeze=\[11,12\] freezes nothing: these layers have no parameters"),
        (True, r"trainer.freeze=true is not a set of layers"),
        (2.5, r"trainer.freeze=2.5 is not a set of layers"),
        ("backbone", r"trainer.freeze=backbone is not a set of layers; .* stock for all of them"),
        (["0"], r"trainer.freeze=\['0'\] is not a set of layers"),
        ([True], r"trainer.freeze=\[true\] is not a set of layers"),
        ([[0]], r"is not a set of layers"),
    ],
)
def test_what_freezes_nothing_or_everything_is_refused_by_name(freeze, message, grafted):
    with pytest.raises(ValueError, match=message):
        check_freeze(grafted("neck"), freeze, False)


def test_a_layer_that_the_graft_replaced_leaves_nothing_to_freeze(grafted):
    with pytest.raises(ValueError, match=r"trainer.freeze=\[16\] freezes nothing"):
        check_freeze(grafted("p3", "replace"), [16], False)


@pytest.mark.parametrize("freeze", ["stock", 24])
def test_a_training_in_which_nothing_learns_is_refused(freeze, stock, grafted):
    message = rf"trainer.freeze={freeze} leaves nothing to train; freeze fewer layers"
    with pytest.raises(ValueError, match=message):
        check_freeze(stock, freeze, False)
    with pytest.raises(ValueError, match=message):
        check_freeze(grafted("neck"), freeze, True)
    with pytest.raises(ValueError, match=message):
        check_freeze(grafted("neck", name="simam"), freeze, False)


def test_parameters_of_a_block_that_holds_the_graft_are_frozen():
    """YOLO12's blocks hold a factor themselves, which Ultralytics' prefixes of modules cannot name."""
    model = build_stock("yolo12l", classes=3, channels=3)
    stock_names = {name for name, _ in model.named_parameters()}
    assert {"model.6.gamma", "model.8.gamma"} <= stock_names
    graft(model, Graft(*resolve_options("cbam", {}), ("backbone_p4", "backbone_p5")))
    paths = frozen_paths(model, "stock")
    frozen = frozen_by_ultralytics(model, paths)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in frozen
    freeze_parameters(model, paths)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == set(graft_gradients(model))
    check_freeze(model, "stock", False)


class Half(nn.Module):
    """One parameter learns, the other one does not."""

    def __init__(self, channels):
        super().__init__()
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)
        self.dfl = nn.Conv2d(channels, channels, 1)
        self.model = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.fixed * self.model(self.dfl(x))


def test_what_a_module_keeps_from_learning_is_known(stock):
    model = copy.deepcopy(stock)
    graft(model, Graft(f"{__name__}.Half", {}, ("p3",)))
    learns = graft_gradients(model)
    assert learns["model.16.attention.fixed"] is False
    assert {name for name, value in learns.items() if not value} == {"model.16.attention.fixed"}
