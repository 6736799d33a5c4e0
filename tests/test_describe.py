"""The printing command shows the network of a configuration and trains nothing."""

import copy
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from src.describe import describe, describe_layers
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.costs import site_costs
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.evaluation.flops import count_operators, count_parameters
from yolo26_attention.latency.trained import fused
from yolo26_attention.plan.checks import check

ROOT = Path(__file__).parent.parent


def command(*overrides):
    return subprocess.run(
        [sys.executable, "-m", "src.describe", *overrides], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_command_prints_the_sites_and_what_they_cost(output_dir):
    result = command("placement=p4", "trainer.imgsz=96", f"output_dir={output_dir}")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^p4 +19 +128 +6x6 +append acmix +\+60,110 +\+0\.\d+$", result.stdout, re.MULTILINE)
    assert re.search(r"^p3 +16 +64 +12x12 +-$", result.stdout, re.MULTILINE)
    assert "708 of 708 keep their place" in result.stdout
    assert not list(output_dir.glob("runs/*p4*"))


def test_command_refuses_in_one_line(output_dir):
    result = command("placement.sites=[p9]", f"output_dir={output_dir}")
    assert result.returncode == 1
    assert re.search(r"^error: placement.sites=\[p9\]: no site 'p9' here", result.stderr, re.MULTILINE)
    assert "Traceback" not in result.stderr


def test_what_is_not_counted_is_named_and_the_image_size_stands_beside_gflops(tiny):
    plan = check(tiny("attention=se", "placement=p3"))
    text = describe(plan)
    assert "not counted" not in text
    assert len(re.findall(r"GFLOPs at 64 px", text)) == 2
    plan = dataclasses.replace(
        plan,
        grafts=(Graft("tests.evaluation.test_uncounted_flops.Fourier", {}, ("p3",)),),
    )
    assert re.search(
        r"^not counted    aten::_fft_r2c \(site p3\), aten::_fft_c2r \(site p3\)$", describe(plan), re.MULTILINE
    )


def test_baseline_adds_nothing(tiny):
    text = describe(check(tiny("attention=baseline")))
    assert "(+0.0%, +0.0%)" in text
    assert "append" not in text


def test_replace_names_the_tensors_it_loses(tiny):
    text = describe(check(tiny("placement=p4", "placement.mode=replace")))
    assert "654 of 708 keep their place" in text
    assert "model.19.cv1.conv.weight" in text


def test_placebo_shows_its_mismatch(tiny):
    text = describe(check(tiny("attention=placebo", "placement=p3")))
    assert re.search(r"placebo +p3: [\d,]+ parameters for 17,8\d\d \([+-][01]\.\d\d%\)", text)


@pytest.mark.parametrize(
    ("mode", "sites"),
    [
        pytest.param("append", "[neck]", id="append"),
        pytest.param("replace", "[p4]", id="replace"),
        pytest.param("bottleneck", "[p5,backbone_p4]", id="bottleneck"),
    ],
)
def test_sites_add_up_to_the_difference(mode, sites, tiny):
    plan = check(tiny(f"placement.sites={sites}", f"placement.mode={mode}"))
    stock, grafted = (build_stock("yolo26n", classes=10, channels=3).eval() for _ in range(2))
    graft(grafted, *plan.grafts)
    costs = [cost for cost in site_costs(stock, grafted, 64) if cost.parameters is not None]
    assert len(costs) == len(plan.config.placement.sites)
    before, after = (count_parameters(model.fuse(verbose=False)) for model in (stock, grafted))
    assert sum(cost.parameters for cost in costs) == after - before


def test_layers_add_up_to_the_network_and_the_difference_is_the_graft(tiny):
    plan = check(tiny("placement=p3", "latency=default", "latency.seconds=0.2"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in describe_layers(plan, True).splitlines()]
    rows = [row for row in rows if len(row) == 8]
    number = lambda row, column: float(row[column].replace(",", "").rstrip("%"))  # noqa: E731
    layers = [row for row in rows if row[0].isdigit()]
    whole, grafts = (next(row for row in rows if row[1] == name) for name in ("all layers", "of which graft"))
    grafted = build_stock("yolo26n", classes=10, channels=3).eval()
    stock = count_parameters(copy.deepcopy(grafted).fuse(verbose=False))
    graft(grafted, *plan.grafts)
    assert len(layers) == 24
    assert [row[1] for row in rows if row[1].startswith("append")] == ["append acmix"]
    assert number(whole, 3) == sum(number(row, 3) for row in layers) == stock + number(grafts, 3)
    assert number(grafts, 3) == 17_822
    assert number(whole, 4) == pytest.approx(count_operators(fused(grafted), 3, 64, 64).flops / 1e9, abs=0.0006)
    assert number(whole, 6) == pytest.approx(sum(number(row, 6) for row in layers), abs=0.15)
    assert layers[16][2] == "64x8x8"


def test_a_baseline_has_layers_without_a_graft(tiny):
    text = describe_layers(check(tiny("attention=baseline", "latency=default", "latency.seconds=0.1")))
    assert re.search(r"^ +of which graft +\+0 +\+0\.000 +\+0\.00 +\+0\.00 +\+0\.0%$", text, re.MULTILINE)


def test_layers_show_the_mode_and_every_module_of_a_mix(tiny):
    plan = check(
        tiny("attention=mix", "attention.grafts={p3: [se, simam], p5: {name: cbam, mode: replace}}", "latency=default")
    )
    plan.config.latency.seconds = 0.1
    text = describe_layers(plan)
    assert "append se, append simam" in text
    assert re.search(r"replace cbam +-[\d,]+", text)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(["latency=disabled"], "latency.enabled=false with layers=true", id="disabled"),
        pytest.param(
            ["latency=default", "latency.backend=compiled"], "latency.backend=compiled with layers", id="compile"
        ),
    ],
)
def test_options_that_cannot_time_a_layer_are_refused(overrides, words, tiny):
    with pytest.raises(ConfigError, match=words):
        describe_layers(check(tiny(*overrides)))


def test_markdown_is_refused_without_layers(output_dir):
    result = command("markdown=true", f"output_dir={output_dir}")
    assert (result.returncode, "error: markdown=true with layers=false" in result.stderr) == (1, True)
