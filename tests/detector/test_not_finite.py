"""Attention that overflows in half precision is named by its site."""

import copy

import pytest
import torch

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.not_finite import overflowing, sites_not_finite
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock


@pytest.fixture(scope="module")
def stock():
    return build_stock("yolo26n", classes=3, channels=3)


def grafted(stock, name, *sites):
    model = copy.deepcopy(stock)
    target, options = resolve_options(name, {})
    graft(model, Graft(target, options, sites))
    return model


@pytest.mark.parametrize(
    ("name", "dtype", "found"),
    [
        pytest.param("nl", torch.float16, ["p3", "p4"], id="nl"),
        pytest.param("nl", torch.bfloat16, [], id="nl-bfloat16"),
        pytest.param("se", torch.float16, [], id="se"),
        pytest.param("acmix", torch.float16, [], id="acmix"),
    ],
)
def test_attention_that_overflows_in_half_precision_is_named_by_site(name, dtype, found, stock):
    model = grafted(stock, name, "p3", "p4").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert overflowing(model, torch.zeros(1, 3, 64, 64), dtype) == found
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_every_module_stays_in_its_mode(stock):
    model = grafted(stock, "se", "p3").train()
    model.model[1].eval()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    overflowing(model, torch.zeros(1, 3, 64, 64), torch.bfloat16)
    assert [module.training for module in model.modules()] == before


def test_only_the_site_where_values_become_non_finite_is_named(stock):
    model = grafted(stock, "se", "p3", "p5").eval()
    images = torch.zeros(1, 3, 64, 64)
    assert sites_not_finite(model, images) == []
    with torch.no_grad():
        next(model.model[model.grafted_sites["p3"]].attention.parameters()).fill_(float("nan"))
    assert sites_not_finite(model, images) == ["p3"]
