"""A checkpoint's attention gives its values to the same attention, and is never lost without a word."""

import copy

import pytest
import torch

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.grafted import graft_parts
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.same_graft import graft_difference, load_graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.plan.checks import check
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture(scope="module")
def stock():
    return build_stock("yolo26n", classes=10, channels=3)


@pytest.fixture(scope="module")
def grafted(stock):
    def build(name="cbam", sites=("p3",), mode="append", gate="none", seed=0, match=None, **options):
        model = copy.deepcopy(stock)
        target, resolved = (
            ("yolo26_attention.attention.placebo.Placebo", {}) if match else resolve_options(name, options)
        )
        graft(model, Graft(target, resolved, sites, seed, mode, gate, match))
        return model

    return build


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({}, id="append"),
        pytest.param({"gate": "zero"}, id="gated"),
        pytest.param({"mode": "replace"}, id="replace-with-projections"),
        pytest.param({"mode": "bottleneck", "sites": ("backbone_p4",)}, id="bottleneck"),
    ],
)
def test_every_tensor_of_the_same_graft_is_loaded(kind, grafted):
    model, weights = grafted(**kind), grafted(seed=5, **kind)
    prefixes = tuple(graft_parts(model))
    own = {name for name in model.state_dict() if name.startswith(prefixes)}
    assert set(load_graft(model, weights)) == own
    assert own
    assert all(torch.equal(model.state_dict()[name], weights.state_dict()[name]) for name in own)


def test_a_stock_checkpoint_has_nothing_to_lose(stock, grafted):
    assert graft_difference(grafted(), stock) is None
    assert load_graft(grafted(), stock) == []
    assert graft_difference(stock, stock) is None


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (
            {"name": "se"},
            r"it has yolo26_attention.attention\S+ at p3, but this run has yolo26_attention.attention\S+ at p3",
        ),
        ({"sites": ("p3", "p4")}, r"attention\S+ at p4, but this run has no attention there"),
        ({"mode": "replace"}, r"with placement.mode=replace, but this run has placement.mode=append"),
        ({"gate": "zero"}, r"with placement.gate=zero, but this run has placement.gate=none"),
        ({"kernel_att": 5}, r"with attention.kernel_att=5, but this run has attention.kernel_att=7"),
    ],
)
def test_another_graft_is_told_apart(theirs, said, grafted):
    weights = grafted(**theirs)
    with pytest.raises(ValueError, match="would be lost: .*" + said):
        load_graft(grafted(), weights)


def test_the_baseline_does_not_drop_attention(stock, grafted):
    with pytest.raises(
        ValueError, match=r"it has yolo26_attention.attention\S+ at p3, but this run has no attention there"
    ):
        load_graft(copy.deepcopy(stock), grafted())


def test_a_class_that_has_changed_since_is_told_apart(grafted):
    weights = grafted()
    attention = weights.model[16].attention
    name, parameter = next(iter(attention.named_parameters()))
    attention.get_submodule(name.rpartition(".")[0])._parameters[name.rpartition(".")[2]] = torch.nn.Parameter(
        torch.zeros(*(size + 1 for size in parameter.shape))
    )
    with pytest.raises(ValueError, match=rf"no model.16.attention.{name} of shape"):
        load_graft(grafted(), weights)


def test_a_tensor_that_only_the_checkpoint_has_is_not_dropped(grafted):
    weights = grafted()
    weights.model[16].attention.extra = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r"would be lost: it has \S+ at p3, but this run's has no \S+attention.extra"):
        load_graft(grafted(), weights)


def test_a_bias_that_acmix_adopts_is_loaded(grafted):
    model, weights = grafted("acmix"), grafted("acmix")
    bias = torch.nn.Parameter(torch.rand(weights.model[16].attention.out_channels))
    weights.model[16].attention.dep_conv.bias = bias
    assert graft_difference(model, weights) is None
    assert model.model[16].attention.dep_conv.bias is None
    assert "model.16.attention.dep_conv.bias" in load_graft(model, weights)
    assert torch.equal(model.model[16].attention.dep_conv.bias, bias)


def test_an_option_that_came_later_does_not_make_another_graft(grafted):
    weights = grafted()
    weights.grafted_spec[0]["options"].popitem()
    assert graft_difference(grafted(), weights) is None


def test_placebos_of_two_things_are_two_grafts(grafted):
    of = {name: Match(name, *resolve_options(name, {}), imgsz=64) for name in ("cbam", "sasa")}
    model = grafted(match=of["cbam"])
    assert graft_difference(model, grafted(match=of["cbam"])) is None
    assert "placebo.matches=sasa, but this run has placebo.matches=cbam" in graft_difference(
        model, grafted(match=of["sasa"])
    )


@pytest.mark.parametrize(
    "overrides",
    [pytest.param(["attention=baseline"], id="baseline"), pytest.param(["placement=p4"], id="another-site")],
)
def test_it_is_refused_before_training(overrides, tiny, tmp_path, grafted):
    path = tmp_path / "grafted.pt"
    torch.save({"model": grafted("acmix"), "train_args": {}}, path)
    with pytest.raises(ConfigError, match=r"model.weights=\S+grafted.pt: it has .* so choose the attention"):
        check(tiny(f"model.weights={path}", *overrides))
    check(tiny(f"model.weights={path}", "attention=acmix", "placement=p3"))


def test_it_is_refused_from_python_too(tiny, tmp_path, grafted):
    path = tmp_path / "grafted.pt"
    torch.save({"model": grafted("acmix"), "train_args": {}}, path)
    plan = check(tiny("attention=se", "placement=p3"))
    trainer = GraftTrainer.configured(plan.grafts)(
        overrides={**plan.arguments, "pretrained": str(path), "save_dir": str(tmp_path)}
    )
    with pytest.raises(ValueError, match="would be lost"):
        trainer.setup_model()
