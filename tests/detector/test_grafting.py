"""Grafting changes the sites and nothing else."""

import copy
import io

import pytest
import torch
from torch import nn

from yolo26_attention.detector.grafted import grafted_attention, grafted_scalars
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock

ACMIX = "yolo26_attention.attention.acmix.ACmix"


@pytest.fixture
def stock():
    torch.manual_seed(0)
    return build_stock("yolo26n", classes=10, channels=3)


class Halving(nn.Module):
    """Changes the map's shape, which append cannot take."""

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x[..., ::2, ::2]


def test_stock_tensors_keep_name_and_value(stock):
    before = copy.deepcopy(stock.state_dict())
    graft(stock, Graft(ACMIX, {}, ("p3", "p4", "p5")))
    after = stock.state_dict()
    assert len(before) == 708
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {name.split(".")[1] for name in set(after) - set(before)} == {"16", "19", "22"}


def test_layers_keep_what_ultralytics_reads(stock):
    before = [(layer.i, layer.f, layer.type) for layer in stock.model]
    graft(stock, Graft(ACMIX, {}, ("p4",)))
    assert [(layer.i, layer.f, layer.type) for layer in stock.model] == before
    assert stock.model[19].np == sum(p.numel() for p in stock.model[19].parameters())


def test_attention_runs_on_the_blocks_output(stock):
    graft(stock, Graft(ACMIX, {}, ("p3",)))
    block = stock.eval().model[16]
    x = torch.rand(1, 256, 8, 8)
    with torch.no_grad():
        plain = block.forward(x)
        assert torch.equal(block(x), block.attention(plain))
        assert not torch.equal(block(x), plain)


def test_baseline_changes_nothing(stock):
    before = list(stock.state_dict())
    assert graft(stock) == []
    assert list(stock.state_dict()) == before
    assert grafted_attention(stock) == {}


def test_global_random_stream_is_untouched(stock):
    state, seed = torch.get_rng_state(), torch.initial_seed()
    graft(stock, Graft(ACMIX, {}, ("p3", "p5")))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.initial_seed() == seed


def test_initial_values_depend_on_seed_and_site_alone():
    def weights(seed, sites, noise):
        torch.manual_seed(noise)
        model = build_stock("yolo26n", classes=10, channels=3)
        graft(model, Graft(ACMIX, {}, sites, seed))
        return grafted_attention(model)["p4"].conv1.weight

    assert torch.equal(weights(0, ("p4",), 1), weights(0, ("p3", "p4", "p5"), 2))
    assert not torch.equal(weights(0, ("p4",), 1), weights(1, ("p4",), 1))


def test_sites_of_one_model_start_from_different_values(stock):
    graft(stock, Graft(ACMIX, {}, ("p3", "p4")))
    p3, p4 = grafted_attention(stock).values()
    assert not torch.equal(p3.conv1.weight[:64, :64], p4.conv1.weight[:64, :64])


def test_rates_are_found(stock):
    graft(stock, Graft(ACMIX, {}, ("p3", "p5")))
    assert grafted_scalars(stock) == {"p3/rate1": 0.5, "p3/rate2": 0.5, "p5/rate1": 0.5, "p5/rate2": 0.5}


def test_unknown_site_names_those_there_are(stock):
    with pytest.raises(ValueError, match=r"no site 'p6' here; it has backbone_p2, .*, p3, p4, p5"):
        graft(stock, Graft(ACMIX, {}, ("p3", "p6")))


def test_module_that_changes_the_shape_is_refused(stock):
    with pytest.raises(ValueError, match=r"Halving changes the map at site p3 from \(1, 64, 8, 8\) to \(1, 64, 4, 4\)"):
        graft(stock, Graft(f"{__name__}.Halving", {}, ("p3",)))


def test_grafted_model_survives_pickling_and_copying(stock):
    graft(stock, Graft(ACMIX, {}, ("p3",)))
    stock.eval()
    x = torch.rand(1, 3, 64, 96)
    buffer = io.BytesIO()
    torch.save(stock, buffer)
    buffer.seek(0)
    with torch.no_grad():
        expected = stock(x)[0]
        assert torch.equal(torch.load(buffer, weights_only=False)(x)[0], expected)
        assert torch.equal(copy.deepcopy(stock)(x)[0], expected)
