"""timm's mechanisms: its own defaults, options that reach it, and mistakes named before it stumbles over them."""

import pytest
import torch
from timm.layers import Attention2d, create_attn

from yolo26_attention.attention import from_timm

KEYS = (
    "se",
    "ese",
    "eca",
    "ceca",
    "cbam",
    "lcbam",
    "coord",
    "scoord",
    "ela",
    "strip",
    "sk",
    "splat",
    "gc",
    "gca",
    "nl",
)


def seeded(function, *arguments, **options):
    torch.manual_seed(0)
    return function(*arguments, **options)


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    assert str(ours) == str(theirs)
    values = theirs.state_dict()
    assert ours.state_dict().keys() == values.keys()
    assert all(torch.equal(value, values[key]) for key, value in ours.state_dict().items())
    x = torch.randn(2, 64, 9, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("key", KEYS)
def test_defaults_are_those_of_timm(key):
    assert_same(seeded(getattr(from_timm, key), 64), seeded(create_attn, key, 64))


def test_defaults_of_lambda_are_those_of_timm():
    assert_same(seeded(from_timm.lambda_layer, 64), seeded(create_attn, "lambda", 64))


def test_attention2d_is_that_of_timm_with_fewer_heads():
    assert_same(seeded(from_timm.attention2d, 64), seeded(Attention2d, 64, num_heads=4))


@pytest.mark.parametrize(("channels", "kernel"), [(64, 3), (128, 5), (256, 5), (512, 5)])
@pytest.mark.parametrize("build", [from_timm.eca, from_timm.ceca], ids=["eca", "ceca"])
def test_channel_convolution_takes_its_kernel_from_the_channels(build, channels, kernel):
    assert build(channels).conv.kernel_size == (kernel,)


@pytest.mark.parametrize("kernel_att", [1, 3, 9, 63])
@pytest.mark.parametrize("build", [from_timm.eca, from_timm.ceca], ids=["eca", "ceca"])
def test_channel_convolution_takes_the_kernel_it_is_given(build, kernel_att):
    module = build(64, kernel_att=kernel_att)
    assert module.conv.kernel_size == (kernel_att,)
    assert module(torch.ones(1, 64, 2, 3)).shape == (1, 64, 2, 3)


@pytest.mark.parametrize(
    ("build", "options", "squeezed", "expected"),
    [
        pytest.param(from_timm.se, {"reduction": 4}, "fc1", 16, id="se"),
        pytest.param(from_timm.se, {"reduction": 16}, "fc1", 8, id="se-rounded"),
        pytest.param(from_timm.se, {"reduction": 16, "divisor": 1}, "fc1", 4, id="se-exact"),
        pytest.param(from_timm.cbam, {"reduction": 8}, "channel.fc1", 8, id="cbam"),
        pytest.param(from_timm.lcbam, {"reduction": 32}, "channel.fc1", 2, id="lcbam"),
        pytest.param(from_timm.coord, {"reduction": 2, "divisor": 1}, "conv1", 21, id="coord"),
        pytest.param(from_timm.sk, {"reduction": 4}, "attn.fc_reduce", 16, id="sk"),
        pytest.param(from_timm.splat, {"reduction": 2}, "fc1", 64, id="splat"),
        pytest.param(from_timm.gc, {"reduction": 16}, "mlp_scale.fc1", 4, id="gc"),
        pytest.param(from_timm.gca, {"reduction": 16}, "mlp_add.fc1", 4, id="gca"),
        pytest.param(from_timm.nl, {"reduction": 2}, "t", 32, id="nl"),
    ],
)
def test_reduction_divides_the_channels(build, options, squeezed, expected):
    assert build(64, **options).get_submodule(squeezed).out_channels == expected


@pytest.mark.parametrize("kernel_att", [3, 5, 7])
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(getattr(from_timm, name), id=name)
        for name in ("eca", "ceca", "cbam", "lcbam", "ela", "strip", "sk", "splat", "lambda_layer")
    ],
)
def test_the_usual_kernels_fit_everywhere(build, kernel_att):
    assert build(64, kernel_att=kernel_att).eval()(torch.ones(1, 64, 6, 5)).shape == (1, 64, 6, 5)


@pytest.mark.parametrize("channels", [64, 128, 256])
@pytest.mark.parametrize("groups", [2, 8, 16])
@pytest.mark.parametrize("build", [from_timm.sk, from_timm.splat], ids=["sk", "splat"])
def test_groups_fit(build, groups, channels):
    assert build(channels, groups=groups).eval()(torch.ones(1, channels, 6, 5)).shape == (1, channels, 6, 5)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(from_timm.sk, id="sk"),
        pytest.param(lambda channels: from_timm.splat(channels, norm=True), id="splat-norm"),
    ],
)
def test_a_training_batch_of_one_image_is_refused(build):
    module = build(64)
    with pytest.raises(ValueError, match=r"cannot train on a batch of one image.*; choose trainer\.batch"):
        module(torch.ones(1, 64, 6, 5))
    assert module.eval()(torch.ones(1, 64, 6, 5)).shape == (1, 64, 6, 5)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        pytest.param("lambda_layer", {"heads": 5}, "heads=5 does not divide the 64 channels; try 4 or 8", id="heads"),
        pytest.param("attention2d", {"heads": 6}, "heads=6 does not divide the 64 channels; try 4 or 8", id="heads-2d"),
        pytest.param("cbam", {"kernel_att": 4}, "kernel_att=4 has no centre; try 5", id="cbam-even"),
        pytest.param("lcbam", {"kernel_att": 6}, "kernel_att=6 has no centre; try 7", id="lcbam-even"),
        pytest.param("ela", {"kernel_att": 2}, "kernel_att=2 has no centre; try 3", id="ela-even"),
        pytest.param("strip", {"kernel_att": 2}, "kernel_att=2 has no centre; try 3", id="strip-even"),
        pytest.param("eca", {"kernel_att": 2}, "kernel_att=2 has no centre; try 3", id="eca-even"),
        pytest.param("splat", {"kernel_att": 4}, "kernel_att=4 has no centre; try 5", id="splat-even"),
        pytest.param("lambda_layer", {"kernel_att": 8}, "kernel_att=8 has no centre; try 9", id="lambda-even"),
        pytest.param("cbam", {"kernel_att": 0}, "kernel_att=0 must be at least 1; try 1", id="no-kernel"),
        pytest.param("sk", {"kernel_att": 1}, "kernel_att=1 must be at least 3; try 3", id="sk-small"),
        pytest.param("ceca", {"kernel_att": 65}, "kernel_att=65 is wider than the 64 channels; try 63", id="ring"),
        pytest.param("se", {"gate": "tanh"}, "gate='tanh' is unknown; try sigmoid or hard_sigmoid", id="gate"),
        pytest.param("se", {"reduction": 0}, "reduction=0 must be at least 1; try 16", id="no-reduction"),
        pytest.param("se", {"divisor": 0}, "divisor=0 must be at least 1; try 8", id="no-divisor"),
        pytest.param("se", {"reduction": 32}, "reduction=32 leaves 2 channels, .* 8; try reduction=8", id="se"),
        pytest.param("cbam", {"reduction": 65}, "reduction=65 leaves 0.985 .*; try reduction=64", id="cbam"),
        pytest.param("coord", {"reduction": 8}, "reduction=8 leaves 5.33 .*; try reduction=5", id="coord"),
        pytest.param("splat", {"reduction": 5}, "reduction=5 leaves 25.6 .* 32; try reduction=4", id="splat"),
        pytest.param(
            "nl", {"divisor": 65, "reduction": 2}, "leaves 32 .*; try reduction=8, timm's own", id="nothing-fits"
        ),
        pytest.param(
            "strip", {"use_conv": False, "kernel_att": 5}, "kernel_att=5 has no effect with use_conv", id="strip"
        ),
        pytest.param("sk", {"kernel_att": 3, "keep_3x3": False}, "keep_3x3=False has no effect", id="sk-3x3"),
        pytest.param("sk", {"groups": 3}, "groups=3 does not divide the 32 channels; try 2 or 4", id="sk-groups"),
        pytest.param("splat", {"radix": 3}, "radix=3 does not divide the 64 channels; try 2 or 4", id="radix"),
        pytest.param("splat", {"radix": 0}, "radix=0 does not divide the 64 channels; try 1", id="no-radix"),
        pytest.param("splat", {"groups": 5}, "groups=5 does not divide the 32 channels; try 4 or 8", id="splat-groups"),
        pytest.param("lambda_layer", {"dim_head": 0}, "dim_head=0 must be at least 1; try 16", id="dim_head"),
    ],
)
def test_mistakes_are_named(build, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(from_timm, build)(64, **options)


def test_channels_that_cannot_be_halved_are_named():
    with pytest.raises(ValueError, match="split_input=True cannot halve the 63 channels; set it to False"):
        from_timm.sk(63)


def test_groups_that_do_not_divide_what_is_squeezed_are_named():
    with pytest.raises(ValueError, match="groups=12 does not divide the 32 squeezed channels; try 4"):
        from_timm.splat(48, groups=12)
