"""All checks of a configuration, made before anything is trained.

A checked configuration becomes a `Plan`, which holds everything that the runner needs.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from yolo26_attention.config.registration import given_overrides, own_folders
from yolo26_attention.config.run_config import RunConfig
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.trust import Trust
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import OutputFolder, RunFolder
from yolo26_attention.plan.arguments import check_latency, check_objectives, training_arguments
from yolo26_attention.plan.attention_options import resolve_attention, resolve_placebo, specify_graft
from yolo26_attention.plan.data_options import check_groups_of, find_dataset, own_data
from yolo26_attention.plan.earlier import place_of
from yolo26_attention.plan.machine import latency_device, training_device, writable_folder
from yolo26_attention.plan.mix_options import Part, join_mix, split_mix
from yolo26_attention.plan.model_options import resolve_model
from yolo26_attention.plan.networks import Networks
from yolo26_attention.plan.once import once
from yolo26_attention.plan.tracking_options import check_tracking, follow_environment
from yolo26_attention.plan.training_options import check_training_options
from yolo26_attention.plan.values import check_values


@dataclass(frozen=True)
class Plan:
    """A configuration that passed every check.

    `arguments` are for Ultralytics' trainer; `folder` is the run's folder. The latency is measured on `latency_device`.
    `given` is the configuration as composed, `config` as resolved. src/yolo26_attention/plan/earlier.py explains
    `identity_version`, `replaces` and `remark`.
    """

    config: RunConfig
    run_id: str
    folder: Path
    dataset: Dataset
    grafts: tuple[Graft, ...]
    arguments: dict[str, Any]
    device: torch.device
    latency_device: torch.device
    trust: Trust
    given: RunConfig
    identity_version: int
    replaces: Path | None
    remark: str | None


def check(config: RunConfig) -> Plan:
    """Check a configuration: find data, weights and device, and build the model.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    return Checker().check(config)


class Checker:
    """Checks many configurations; each lookup, build or error that they share happens only once."""

    def __init__(self) -> None:
        self._folder = once(writable_folder)
        self._follow_environment = once(follow_environment)
        self._check_tracking = once(check_tracking)
        self._device = once(training_device)
        self._latency_device = once(latency_device)
        self._dataset = once(find_dataset)
        self._attention = once(resolve_attention)
        self._check_latency = once(check_latency)
        self._digest = once(file_digest)
        self._networks = Networks()

    def check(self, given: RunConfig) -> Plan:
        """See the function `check`.

        Raises:
            ConfigError: naming the key, the value and a way out.
        """
        check_values(given)
        trust = Trust(given.trust, tuple(own_folders()))
        output_dir = self._folder(given.output_dir)
        typed = given_overrides()
        tracking = self._follow_environment(given.tracking, typed)
        self._check_tracking(tracking, given.study, output_dir)
        model = resolve_model(given.model, typed)
        device = self._device(given.trainer.device)
        weights = self._networks.weights(given.model.weights)
        data = own_data(given.data)
        dataset = self._dataset(data, output_dir, given.trainer.single_cls, given.trainer.fraction)
        check_groups_of(data, dataset)
        config = replace(given, tracking=tracking, data=data, model=model)
        parts = split_mix(config, trust.folders)
        resolved, specified = zip(*(part.blamed(self._resolve, part, trust) for part in parts), strict=True)
        grafts = tuple(graft for graft in specified if graft is not None)
        check_objectives(config)
        arguments = training_arguments(config, dataset, weights)
        check_training_options(config, device.type, dataset.yaml)
        timed_on = self._latency_device(config.latency.device, device)
        self._check_latency(config.latency, timed_on)
        grafts, sites = self._networks.check(config, grafts, dataset, weights, trust, device)
        config = join_mix(config, resolved, grafts, sites)
        place = place_of(
            OutputFolder(output_dir).runs, config, dataset, None if weights is None else self._digest(weights)
        )
        return Plan(
            config=config,
            run_id=place.run_id,
            folder=place.folder,
            dataset=dataset,
            grafts=grafts,
            arguments=arguments | {"save_dir": str(RunFolder(place.folder).train), "exist_ok": True},
            device=device,
            latency_device=timed_on,
            trust=trust,
            given=given,
            identity_version=place.identity_version,
            replaces=place.replaces,
            remark=place.remark,
        )

    def _resolve(self, part: Part, trust: Trust) -> tuple[RunConfig, Graft | None]:
        """Check one attention: the configuration with what was looked up, and the graft; None for the baseline."""
        config = replace(part.config, attention=self._attention(part.config.attention, trust))
        graft = specify_graft(config, trust, part.key)
        if graft is not None and graft.match is not None:
            config = replace(config, placebo=resolve_placebo(config.placebo, graft.match))
        return config, graft
