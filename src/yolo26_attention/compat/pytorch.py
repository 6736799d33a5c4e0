"""Private API of PyTorch 2.9 to 2.15. `tests/compat/` has a test for each use."""

# Counts a network without computing it (not public yet; torch.export documents the class).
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

# Base class of all batch norms; public API would need a list of them.
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

# Sees every operator that runs, as torch.utils.flop_counter does.
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["AnyBatchNorm", "FakeTensor", "FakeTensorMode", "TorchDispatchMode", "guard_hooks", "tree_leaves"]


def guard_hooks() -> None:
    """Make torch.compile distinguish a grafted network from a stock one or from one grafted elsewhere.

    By default Dynamo ignores hooks, by which appended attention joins: for two networks of the same class, it runs the
    code that it compiled first.
    """
    import torch._dynamo.config as dynamo  # slow to import, and most runs compile nothing

    dynamo.skip_nnmodule_hook_guards = False
