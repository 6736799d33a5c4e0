"""Find the work of a forward pass that a FLOP counter does not see, and the module that does it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.compat.pytorch import FakeTensor, TorchDispatchMode, tree_leaves

# Operators without multiply-adds for a FLOP count, beside those that PyTorch tags as views, pointwise or reductions:
# they create, move, choose, compare, pool, normalize or draw. In-place variants are included.
FREE = frozenset(
    """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_scalar _assert_tensor_metadata
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional _chunk_cat
    _functional_assert_async _functional_sym_constrain_range _functional_sym_constrain_range_for_size
    _list_to_tensor _local_scalar_dense _log_softmax _masked_scale _native_batch_norm_legit
    _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _pack_padded_sequence _pin_memory
    _prelu_kernel _reshape_copy _safe_softmax _softmax _thnn_fused_gru_cell _thnn_fused_lstm_cell _to_copy _to_dense
    _unique _unique2 _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate
    _unsafe_view _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d _weight_norm_interface
    adaptive_max_pool2d adaptive_max_pool3d addr alias arange as_strided as_strided_scatter avg_pool2d avg_pool3d
    bernoulli bincount block_diag bucketize cat cauchy channel_shuffle clone col2im constant_pad_nd copy count_nonzero
    cudnn_batch_norm cummax cummin cumprod cumsum detach diag_embed diagonal_scatter dist embedding empty empty_like
    empty_permuted empty_strided exponential eye fill flip fractional_max_pool2d full full_like gather geometric glu
    hann_window hardswish histc im2col index index_add index_copy index_fill index_put index_reduce index_select isin
    kthvalue lift lift_fresh linspace log_normal log_sigmoid_forward logcumsumexp logspace masked_fill masked_scatter
    masked_select max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d median miopen_batch_norm
    mode multinomial nanmedian native_batch_norm native_dropout native_group_norm native_layer_norm new_empty
    new_empty_strided new_full new_ones new_zeros nonzero nonzero_static normal normal_functional ones ones_like
    pixel_shuffle pixel_unshuffle poisson rand rand_like randint randint_like randn randn_like random randperm
    reflection_pad1d reflection_pad2d reflection_pad3d renorm repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d resize resize_as roll rot90 rrelu_with_noise scalar_tensor scatter scatter_add
    scatter_reduce searchsorted segment_reduce select_scatter set_ slice_scatter sort split split_with_sizes stack
    sym_constrain_range take to_mkldnn topk trace tril tril_indices triu triu_indices unfold uniform unique_consecutive
    unique_dim unsafe_split unsafe_split_with_sizes upsample_nearest1d upsample_nearest2d upsample_nearest3d where zero
    zeros zeros_like
    """.split()
)
EMPTY = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
SUMS = {"sum", "mean", "nansum"}
TAGS = {torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.view_copy, torch.Tag.inplace_view}
KERNEL = "a kernel outside of PyTorch's operators"
PARAMETERS = "parameters that no operator takes"


class Watch(TorchDispatchMode):
    """Watches the operators inside a FLOP counter; `found` lists the work that it does not count.

    Args:
        formulas: operators for which the counter has a formula.
        place: returns the name of the running module.

    Attributes:
        found: unique pairs of uncounted work and its module, in order.
        summed: a module's name and the FLOPs of its elementwise products that are then summed, once per occurrence.
    """

    supports_higher_order_operators = True

    def __init__(self, formulas: Iterable[Any], place: Callable[[], str]):
        untyped: Any = super()
        untyped.__init__()
        self.found: dict[tuple[str, str], None] = {}
        self.summed: list[tuple[str, int]] = []
        self._formulas, self._place = set(formulas), place
        self._read: set[int] = set()
        self._unwritten: dict[int, str] = {}  # new memory that no operator has written to, and where it was created
        self._products: dict[int, tuple[str, int, list[str]]] = {}  # of mul: place, number, readers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = getattr(func, "_overloadpacket", func)
        if packet not in self._formulas and not _is_free(func):
            self.note(_name(func))
        given, made = _storages((args, kwargs)), _storages(out)
        written = _written(func, args, kwargs)
        if made & given and not written:
            return out  # a view
        name = _name(func).removeprefix("aten::")
        self._take(given - written, name)
        for storage in written:
            self._unwritten.pop(storage, None)
        for storage in made - given:  # a freed storage may have had this address
            self._unwritten.pop(storage, None)
            self._forget_product(storage)
            if name in EMPTY and not isinstance(out, FakeTensor):  # no kernel writes to a fake tensor
                self._unwritten[storage] = self._place()
            if name == "mul" and all(isinstance(factor, Tensor) and factor.numel() > 1 for factor in args):
                self._products[storage] = self._place(), out.numel(), []
        return out

    def note(self, what: str, place: str | None = None) -> None:
        """Note uncounted work; `place` defaults to the running module."""
        self.found[what, self._place() if place is None else place] = None

    def finish(self, out: Any, ran: Mapping[str, nn.Module]) -> None:
        """Check the output and the modules that ran for work that no operator did."""
        self._take(_storages(out), "")
        for storage in list(self._products):
            self._forget_product(storage)
        for name, module in ran.items():
            own = _storages(list(module.parameters(recurse=False)))
            if own and not own & self._read:
                self.note(PARAMETERS, name)

    def _take(self, storages: set[int], taker: str) -> None:
        self._read |= storages
        for storage in storages & self._unwritten.keys():
            self.note(KERNEL, self._unwritten.pop(storage))
        for storage in storages & self._products.keys():
            self._products[storage][2].append(taker)

    def _forget_product(self, storage: int) -> None:
        """Count products that are read only by one sum, which makes them multiply-adds."""
        place, count, takers = self._products.pop(storage, ("", 0, []))
        if len(takers) == 1 and takers[0] in SUMS:
            self.summed.append((place, 2 * count))


@contextmanager
def ran(model: nn.Module) -> Iterator[dict[str, nn.Module]]:
    """Collect the modules whose forward is called, by name."""
    called: dict[str, nn.Module] = {}

    def hook(name: str) -> Any:
        return lambda module, inputs: called.update({name: module})

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in model.named_modules()]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def _name(func: Any) -> str:
    schema = getattr(func, "_schema", None)
    return f"higher_order::{func}" if schema is None else str(schema.name)


def _is_free(func: Any) -> bool:
    namespace, _, name = _name(func).rpartition("::")
    name = name.removesuffix("_")
    if namespace in {"profiler", "prim"} or getattr(func, "is_view", False):
        return True
    if namespace == "aten" and name in FREE:
        return True
    packet: Any = getattr(getattr(torch.ops, namespace, None), name, None)  # in-place operators may lack the tags
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if hasattr(packet, "overloads") else []
    return any(TAGS & set(overload.tags) for overload in [func, *overloads] if hasattr(overload, "tags"))


def _storages(values: Any) -> set[int]:
    """Storages of all tensors in nested values; empty storages are left out."""
    return {
        leaf.untyped_storage()._cdata
        for leaf in tree_leaves(values)
        if isinstance(leaf, Tensor) and leaf.layout is torch.strided and leaf.numel()
    }


def _written(func: Any, args: Any, kwargs: Mapping[str, Any]) -> set[int]:
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return set()
    given = [
        args[index] if index < len(args) else kwargs.get(argument.name)
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return _storages(given)
