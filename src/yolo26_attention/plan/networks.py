"""Build the networks of planned runs, so that invalid weights, sites and options fail before a training."""

import copy
import dataclasses
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from yolo26_attention.config.errors import ConfigError, as_config_error
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.config.schema import LatencyConfig
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.freezing import check_freeze
from yolo26_attention.detector.grafting import graft, prepare, probe_sites
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.probe.deployment import RUNTIMES
from yolo26_attention.detector.same_graft import graft_difference
from yolo26_attention.detector.sites import Site, largest_stride
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock, check_weights, find_weights
from yolo26_attention.detector.trust import Trust
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.record import Record
from yolo26_attention.plan.arguments import check_image_size, check_lone_image, lone_image
from yolo26_attention.plan.once import once
from yolo26_attention.plan.own_code import code_changed

log = logging.getLogger(__name__)


class Network(NamedTuple):
    """What defines a stock network."""

    source: str
    model: str
    classes: int
    channels: int


class Networks:
    """Builds the networks of many configurations; what they share is built and tried once."""

    def __init__(self) -> None:
        self.weights = once(_weights)
        self._stock = once(_stock)
        self._source = once(self._read_source)
        self._prepared = once(self._try_graft)
        self._check_kept = once(self._refuse_lost_graft)
        self._check_freeze = once(self._try_freeze)

    def check(
        self,
        config: RunConfig,
        grafts: tuple[Graft, ...],
        dataset: Dataset,
        weights: Path | None,
        trust: Trust,
        device: torch.device,
    ) -> tuple[tuple[Graft, ...], list[str]]:
        """Build the network of a run; returns its grafts with their sites, and all of these sites in network order.

        Args:
            config: configuration of the run.
            grafts: its grafts.
            dataset: its data set.
            weights: its starting checkpoint, from `weights`; None for a random start.
            trust: whose classes the checkpoint may hold.
            device: its device.

        Raises:
            ConfigError: naming the key, the value and a way out.
        """
        network = Network(config.model.source, config.model.name, len(dataset.names), dataset.channels)
        stride = largest_stride(self._stock(network)[0])
        for key, imgsz in (("trainer", config.trainer.imgsz), ("latency", config.latency.imgsz)):
            check_image_size(key, imgsz, network.model, stride)
        if weights is not None:
            self._source(weights, network, trust)
        lone = lone_image(config.trainer, dataset.splits["train"].images)
        check_lone_image(lone, config.trainer, stride)
        use = Use(str(device), config.trainer.amp is not False, _runtime(config.latency), lone)
        # The seed does not affect whether the graft fits.
        unseeded = tuple(dataclasses.replace(graft, seed=0) for graft in grafts)
        there, sites = self._prepared(unseeded, network, use)
        if weights is not None:
            self._check_kept(weights, unseeded, network, trust)
        if config.trainer.freeze is not None:
            self._check_freeze(config.trainer.freeze, config.optimizer.attention.frozen, unseeded, network)
        return tuple(dataclasses.replace(graft, seed=config.seed) for graft in there), sites

    @as_config_error()
    def _read_source(self, weights: Path, network: Network, trust: Trust) -> nn.Module:
        return check_weights(weights, self._stock(network)[0], trust)

    def _try_graft(self, grafts: tuple[Graft, ...], network: Network, use: Use) -> tuple[tuple[Graft, ...], list[str]]:
        stock, sites = self._stock(network)
        with as_config_error():
            prepared = prepare(stock, *grafts, sites=sites, use=use)
        return prepared.grafts, [site.name for site in prepared.sites]

    def _refuse_lost_graft(self, weights: Path, grafts: tuple[Graft, ...], network: Network, trust: Trust) -> None:
        source = self._source(weights, network, trust)
        if difference := graft_difference(self._joined(network, grafts), source):
            raise ConfigError(
                f"model.weights={weights}: {difference}; its learned values would be lost, so choose the attention, "
                "placement and options of the checkpoint, or give a checkpoint without attention"
            )
        if (changed := _code_changed(weights)) is not None:
            log.warning("model.weights=%s: %s; its learned values are loaded into today's code", weights, changed)

    @as_config_error()
    def _try_freeze(self, freeze: Any, graft_frozen: bool, grafts: tuple[Graft, ...], network: Network) -> None:
        check_freeze(self._joined(network, grafts), freeze, graft_frozen)

    def _joined(self, network: Network, grafts: tuple[Graft, ...]) -> nn.Module:
        """A copy of the stock model with the graft in it."""
        model = copy.deepcopy(self._stock(network)[0])
        graft(model, *grafts)
        return model


@as_config_error()
def _weights(name: str | None) -> Path | None:
    return None if name is None else find_weights(name)


def _stock(network: Network) -> tuple[nn.Module, Mapping[str, Site]]:
    try:
        stock = build_stock(network.source, network.classes, network.channels)
        return stock, probe_sites(stock)
    except Exception as error:
        if network.source == network.model:
            raise
        raise ConfigError(
            f"model.yaml={network.source}: Ultralytics cannot build it ({type(error).__name__}: {error}); try it with "
            "YOLO(PATH) in Python first"
        ) from error


def _code_changed(weights: Path) -> str | None:
    """Whether the code of a user's class changed after the run that a checkpoint is of; None if none is known."""
    folder = next((folder for folder in weights.resolve().parents if RunFolder(folder).record.is_file()), None)
    with suppress(ValueError):  # an unreadable record says nothing
        record = None if folder is None else Record.read(folder)
        return None if record is None else code_changed(record.config.get("attention", {}))
    return None


def _runtime(latency: LatencyConfig) -> str | None:
    """The runtime, if it needs the network exported or compiled as a whole; otherwise None."""
    return RUNTIMES.get(latency.backend) if latency.enabled else None
