"""A placebo is as large as what it stands for, at every place and for every mechanism that has a size."""

import pytest
import torch
from torch import nn

from yolo26_attention.attention.options import ATTENTION_SCHEMAS, resolve_options
from yolo26_attention.attention.placebo import Placebo
from yolo26_attention.detector.grafted import grafted_attention, placebo_matches
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.placebo_size import TOLERANCE, Match, match_placebo
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.evaluation.flops import count_operators, count_parameters

# Too few parameters for any convolution block at 64 channels: simam has none, the largest of them a few hundred.
TOO_SMALL = {"simam", "eca", "ceca", "lcbam", "strip"}
NAMES = [name for name in ATTENTION_SCHEMAS if name != "baseline"]
MODES = [pytest.param(mode, id=mode) for mode in ("append", "replace", "bottleneck")]


def placebo_of(name, by="parameters", **options):
    target, values = resolve_options(name, options)
    return Match(name, target, values, by, imgsz=128)


def spec(match, mode="append", sites=("p3", "p5")):
    return Graft("yolo26_attention.attention.placebo.Placebo", {"shortcut": True}, sites, mode=mode, match=match)


@pytest.fixture
def stock():
    return build_stock("yolo26n", classes=10, channels=3)


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES if name not in TOO_SMALL])
def test_parameters_match_every_mechanism(name, stock):
    match = placebo_of(name)
    attention = build_stock("yolo26n", classes=10, channels=3)
    graft(attention, Graft(match.target, match.options, ("p3", "p5")))
    graft(stock, spec(match))
    for site, module in grafted_attention(stock).items():
        wanted = count_parameters(grafted_attention(attention)[site])
        assert isinstance(module, Placebo)
        assert abs(count_parameters(module) - wanted) <= TOLERANCE * wanted


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in sorted(TOO_SMALL)])
def test_what_is_smaller_than_any_block_is_refused(name, stock):
    with pytest.raises(ValueError, match=rf"placebo.matches={name} has .* at p3, but the nearest placebo .* within 2%"):
        graft(stock, spec(placebo_of(name)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", [pytest.param("parameters", id="parameters"), pytest.param("flops", id="flops")])
def test_record_holds_what_was_really_built(mode, by, stock):
    graft(stock, spec(placebo_of("acmix", by), mode))
    matches = placebo_matches(stock)
    assert {place.split("/")[0] for place in matches} == {"p3", "p5"}
    assert len(matches) == (6 if mode == "bottleneck" else 2)
    for match in matches.values():
        assert match["by"] == by
        assert match["mismatch"] == match["got"] / match["wanted"] - 1
        assert abs(match["mismatch"]) <= TOLERANCE
    if mode == "append" and by == "parameters":
        modules = grafted_attention(stock)
        assert {place: match["got"] for place, match in matches.items()} == {
            place: count_parameters(module) for place, module in modules.items()
        }


def test_options_of_what_is_matched_count(stock):
    graft(stock, spec(placebo_of("acmix", kernel_conv=7), sites=("p3",)))
    small = build_stock("yolo26n", classes=10, channels=3)
    graft(small, spec(placebo_of("acmix", kernel_conv=3), sites=("p3",)))
    assert placebo_matches(stock)["p3"]["wanted"] > placebo_matches(small)["p3"]["wanted"]


def test_flops_are_counted_at_the_image_size_asked_for():
    reference, sizes = nn.Conv2d(16, 16, 3, padding=1), (16, 16, 8, 12)
    kwargs, matched = match_placebo(reference, *sizes, Match("conv", "", {}, "flops"), "p3")
    built = Placebo(16, **kwargs)
    assert matched["wanted"] == 2 * 96 * 16 * 16 * 9
    assert matched["got"] == count_operators(built, 16, 8, 12).flops


def test_flops_that_are_not_counted_in_whole_are_not_matched():
    class Mixes(nn.Conv2d):
        def forward(self, x):
            return super().forward(torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:]))

    with pytest.raises(
        ValueError, match=r"placebo.by=flops: mixes at p3 has work without a FLOP count, aten::_fft_r2c"
    ):
        match_placebo(Mixes(16, 16, 1), 16, 16, 8, 12, Match("mixes", "", {}, "flops"), "p3")
    match_placebo(Mixes(16, 16, 1), 16, 16, 8, 12, Match("mixes", "", {}, "parameters"), "p3")


def test_values_do_not_depend_on_what_is_matched():
    """Equal sizes, so that the streams can be compared: the reference must draw from another one."""
    models = [build_stock("yolo26n", classes=10, channels=3) for _ in range(2)]
    for model, name in zip(models, ("acmix", "acmix"), strict=True):
        torch.manual_seed(len(name))
        torch.rand(3)
        graft(model, spec(placebo_of(name), sites=("p3",)))
    first, second = (grafted_attention(model)["p3"].state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
