"""The private parts of PyTorch do what the library uses them for."""

import torch
from torch import nn

from yolo26_attention.compat.pytorch import AnyBatchNorm, FakeTensor, FakeTensorMode, TorchDispatchMode, guard_hooks


def test_a_network_runs_without_being_computed():
    with FakeTensorMode(allow_non_fake_inputs=True):
        out = nn.Conv2d(3, 4, 1)(torch.zeros(1, 3, 8, 8))
    assert isinstance(out, FakeTensor)
    assert out.shape == (1, 4, 8, 8)


def test_every_operator_is_seen():
    seen = []

    class See(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with See():
        torch.ones(2) + 1
    assert seen == ["aten.ones.default", "aten.add.Tensor"]


def test_all_batch_norms_have_one_base():
    assert all(issubclass(norm, AnyBatchNorm) for norm in (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm))


def test_a_compiled_network_is_told_from_one_with_a_hook():
    """Without the guard, the second network would run the code that was compiled for the first."""
    guard_hooks()
    torch._dynamo.reset()
    plain, hooked = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    hooked.load_state_dict(plain.state_dict())
    compiled = torch.compile(lambda module, x: module(x), backend="eager")
    x = torch.ones(1, 2)
    assert torch.equal(compiled(plain, x), plain(x))
    hooked.register_forward_hook(lambda module, inputs, out: out + 1)
    assert torch.equal(compiled(hooked, x), plain(x) + 1)
