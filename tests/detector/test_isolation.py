"""What a module's file or code changes in the process is undone, or refused."""

import sys

import numpy as np
import pytest
import torch

from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.isolation import kept_settings, surroundings

CHANGES = (
    "torch.set_default_dtype(torch.float64)",
    "torch.set_default_device('meta')",
    "torch.set_grad_enabled(False)",
    "torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch.set_flush_denormal(True)",
    "torch.set_float32_matmul_precision('medium')",
    "torch.use_deterministic_algorithms(True, warn_only=True)",
    "torch.set_deterministic_debug_mode('warn')",
    "torch.autograd.set_detect_anomaly(True)",
    "torch.set_autocast_enabled('cpu', True)",
    "torch.set_autocast_dtype('cpu', torch.float16)",
    "torch.set_autocast_dtype('cuda', torch.bfloat16)",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.mkldnn.enabled = False",
    "torch.backends.mkldnn.deterministic = True",
    "torch.backends.mkldnn.fp32_precision = 'bf16'",
    "torch.backends.mkldnn.conv.fp32_precision = 'bf16'",
    "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.backends.cudnn.enabled = False",
    "torch.backends.cudnn.benchmark = True",
    "torch.backends.cudnn.deterministic = True",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False",
    "torch.backends.cuda.matmul.allow_fp16_accumulation = True",
    "torch.backends.cuda.enable_flash_sdp(False)",
    "torch.backends.cuda.enable_mem_efficient_sdp(False)",
    "torch.backends.cuda.enable_math_sdp(False)",
    "torch.backends.mha.set_fastpath_enabled(False)",
    "torch.backends.nnpack.set_flags(False)",
    "numpy.seterr(all='raise')",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_that_a_file_changes_on_import_is_restored(change, tmp_path, monkeypatch):
    code = f"import numpy\nimport torch\n{change}\nclass Attention(torch.nn.Identity): pass\n"
    (tmp_path / "changes_a_setting.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "changes_a_setting", raising=False)
    before = surroundings().settings
    with kept_settings():
        exec(change, {"torch": torch, "numpy": np})
        assert surroundings().settings != before, "the change is one"
    assert surroundings().settings == before
    find_class("changes_a_setting.Attention")
    assert surroundings().settings == before
