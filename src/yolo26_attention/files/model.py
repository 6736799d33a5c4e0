"""What a trained network is and computes, as `Record.model` has it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NetworkCost:
    """Parameters and GFLOPs of a fused network.

    Attributes:
        parameters: their number.
        gflops: at `flops_imgsz`, counted operator by operator; None if the network fails there.
        thop_gflops: the same by thop, as published tables count; None if thop fails.
        flops_imgsz: side of the square image, in pixels; None in records of earlier versions.
        not_counted: work that `gflops` leaves out, with the reason if the count failed.
    """

    parameters: int
    gflops: float | None
    thop_gflops: float | None
    flops_imgsz: int | None = None
    not_counted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlaceboMatch:
    """How a placebo matches the attention it stands for: by parameters or FLOPs, wanted, got, and got/wanted - 1."""

    by: str
    wanted: int
    got: int
    mismatch: float


@dataclass(frozen=True)
class LoadedTensors:
    """What a training took from its starting checkpoint.

    Attributes:
        loaded: number of stock tensors that the checkpoint filled.
        total: number of tensors of the stock model.
        lost: names of stock tensors that have no place in the grafted model.
        graft_loaded: number of the graft's tensors that the checkpoint filled.
    """

    loaded: int
    total: int
    lost: list[str]
    graft_loaded: int


@dataclass(frozen=True, kw_only=True)
class TrainedModel(NetworkCost):
    """The network of best.pt: its cost, what it took from a checkpoint, and the match of each placebo by place."""

    stock_tensors_loaded: int
    stock_tensors_total: int
    stock_tensors_lost: list[str]
    graft_tensors_loaded: int = 0
    placebo: dict[str, PlaceboMatch]


@dataclass(frozen=True)
class ParameterGroup:
    """One group of the optimizer, as it began.

    Attributes:
        group: Ultralytics' name for it.
        lr: initial learning rate.
        weight_decay: likewise.
        muon: whether Muon updates it.
        parameters: number of trained tensors.
        attention: names of those that are the graft's.
    """

    group: str | None
    lr: float
    weight_decay: float
    muon: bool
    parameters: int
    attention: list[str]
