"""How the Triton kernels are launched on cards that are not here: planned by integers, compiled ahead of time."""

import json

import pytest
import torch

pytest.importorskip("triton")

from benchmarks.compiled_kernels import KERNELS, SHARED, launches, resources
from yolo26_attention.attention import window_triton_launch
from yolo26_attention.attention.window_triton_launch import Sizes, measured_key, plan, tiling_of

P5 = Sizes(4, (20, 20), (20, 20), 128, 128, 7, 1, 1, torch.float16, (9, 0))


def test_a_launch_is_planned_once_for_the_same_integers():
    first = plan("forward_kernel", P5)
    assert plan("forward_kernel", P5._replace()) is first
    assert plan("key_gradient_kernel", P5) is not first


def test_without_tensor_cores_half_precision_is_planned_as_float32():
    old = P5._replace(capability=(7, 5))
    assert (old.exact, P5._replace(capability=(8, 0)).exact, P5._replace(dtype=torch.float32).exact) == (
        True,
        False,
        True,
    )
    assert [tiling_of(kernel, old) != tiling_of(kernel, P5) for kernel in KERNELS] == [True] * 3


@pytest.mark.parametrize("kernel", KERNELS)
def test_fusion_of_products_and_sums_is_set_and_not_inherited(kernel):
    assert plan(kernel, P5).keywords["enable_fp_fusion"] is True


@pytest.fixture
def table(monkeypatch, tmp_path):
    """Another table of measured tilings."""

    def written(entries):
        file = tmp_path / "tiles.json"
        file.write_text(json.dumps(entries))
        monkeypatch.setattr(window_triton_launch, "MEASURED", file)
        window_triton_launch.measured.cache_clear()
        plan.cache_clear()

    yield written
    window_triton_launch.measured.cache_clear()
    plan.cache_clear()


def test_a_measured_tiling_is_used_for_its_card_dtype_head_size_and_window_only(table):
    key = measured_key("forward_kernel", P5)
    assert key == "sm_90 16-bit 128 channels window 7 forward_kernel"
    table({key: {"tile": [8, 8], "block": 64, "warps": 8, "stages": 1}})
    words = plan("forward_kernel", P5).keywords
    assert [words[name] for name in ("TILE_Y", "TILE_X", "BLOCK_Y", "BLOCK_X", "num_warps", "num_stages")] == [
        *(8, 8, 4, 16, 8, 1)
    ]
    assert words["BLOCKS"] == 4  # 14 rows of 14 keys
    others = (
        {"capability": (8, 9)},
        {"dtype": torch.float32},
        {"dim_qk": 64, "dim_v": 64},
        {"window": 9},
        {"dilation": 2},
    )
    for other in others:
        assert plan("forward_kernel", P5._replace(**other)).keywords["num_stages"] == 2
    assert plan("key_gradient_kernel", P5).keywords["num_stages"] == 2


def test_every_committed_tiling_can_be_read():
    window_triton_launch.measured.cache_clear()
    for name, tiling in window_triton_launch.measured().items():
        assert name.split()[-1] in KERNELS
        assert sorted(tiling) == ["block", "stages", "tile", "warps"]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [96, 128])
def test_on_a_t4_every_kernel_fits_into_shared_memory(channels):
    for name, launched in launches(75, torch.float16, channels, 7).items():
        assert resources(75, launched).shared <= SHARED[75], name


@pytest.mark.slow
@pytest.mark.parametrize("card", [80, 86, 90, 120])
def test_the_largest_kernels_fit_into_shared_memory(card):
    for name, launched in launches(card, torch.bfloat16, 128, 15).items():
        assert resources(card, launched).shared <= SHARED[card], name
