"""SASA: ACmix's attention path by itself."""

import torch

from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.attention.sasa import SASA


def test_is_the_attention_path():
    options = {"heads": 2, "kernel_att": 5, "stride": 2, "dilation": 2, "position": False, "implementation": "tiled"}
    torch.manual_seed(0)
    sasa = SASA(16, **options)
    torch.manual_seed(0)
    acmix = ACmix(16, paths="attention", **options)
    x = torch.randn(2, 16, 12, 11)
    assert torch.equal(sasa(x), acmix(x))
    assert set(sasa.state_dict()) == set(acmix.state_dict())


def test_has_no_convolution_and_no_rates():
    names = {name.split(".")[0] for name in SASA(16).state_dict()}
    assert names == {"conv1", "conv2", "conv3", "conv_p"}
