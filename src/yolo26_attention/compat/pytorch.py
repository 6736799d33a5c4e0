"""What PyTorch 2.9 to 2.15 has no public name for. `tests/compat/` has a test for each use."""

# A network that is counted without being computed (no public name yet; torch.export documents the class).
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

# The base of all batch norms: a public one would have to list them.
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm

# Sees every operator that runs, as torch.utils.flop_counter does.
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["AnyBatchNorm", "FakeTensor", "FakeTensorMode", "TorchDispatchMode", "guard_hooks", "tree_leaves"]


def guard_hooks() -> None:
    """Have torch.compile tell a grafted network from a stock one, or from another one that is grafted elsewhere.

    Dynamo's default is to overlook hooks, where appended attention joins: of two networks of one class, it runs for
    both whichever it compiled first.
    """
    import torch._dynamo.config as dynamo  # takes most of a second, and most runs compile nothing

    dynamo.skip_nnmodule_hook_guards = False
