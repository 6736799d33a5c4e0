"""Time the variants of a study and their stock models in turn, in one process, from the folders of its runs."""

import logging
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.run_config import OwnModelConfig, plain_group, typed_group
from yolo26_attention.config.schema import DigitsConfig, LatencyConfig, ModelConfig, PublicDataConfig, VocDataConfig
from yolo26_attention.counts import number_of
from yolo26_attention.data.datasets import Dataset
from yolo26_attention.detector.sites import channels_of, largest_stride
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.detector.trust import Trust
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.locks import LockError, lock_file, run_lock
from yolo26_attention.files.record import Record, RunHeldError, without_passwords
from yolo26_attention.files.timings import WHERE, Target, TimedVariant, Timings
from yolo26_attention.latency.end_to_end import validation_images
from yolo26_attention.latency.measure import Failed, Measurement, Subject, measure_together
from yolo26_attention.latency.trained import validation, write_samples
from yolo26_attention.plan.arguments import check_image_size, check_latency
from yolo26_attention.plan.data_options import Data, find_dataset, own_data
from yolo26_attention.plan.machine import latency_device, training_device
from yolo26_attention.plan.once import once
from yolo26_attention.run.environment import cpu_model, device_name, environment
from yolo26_attention.run.interrupts import interruptible
from yolo26_attention.run.measuring import CheckpointError, asked, load_finished
from yolo26_attention.study.runs import StudyEntry, find_run, read_study, repeats_another, study_file

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 120.0  # for a quiet machine, if latency.patience gives none


@dataclass(frozen=True)
class TimingOptions:
    """How a study is to be timed.

    Attributes:
        latency: the `latency` group.
        trust: whose classes the checkpoints may hold.
        data_yaml: where the data set is on this machine; None: where the training found it.
        download: whether a missing data set may be downloaded.
    """

    latency: LatencyConfig
    trust: Trust
    data_yaml: str | None = None
    download: bool = False


@dataclass(frozen=True)
class _Finished:
    """The finished run that stands for a variant: its network, not fused, on the CPU."""

    entry: StudyEntry
    record: Record
    model: Any


def time_study(output_dir: Path, name: str, options: TimingOptions) -> tuple[Target, bool]:
    """Time the variants of a study on this machine and write the result to its timings.json.

    Seeds change only values, so the first finished run of a variant stands for all of them.

    Returns:
        The target, and whether it was timed now. The same networks are not timed again with the same options, unless
        `latency.again` is set. A new measurement takes the place of an earlier one of the same target.

    Raises:
        ConfigError: if there is no such study, nothing of it has finished, an option does not fit, its data set is not
            there, or nothing could be timed.
    """
    content = read_study(output_dir, name)
    if content is None:
        raise ConfigError(f"study {name} was never started: no {study_file(output_dir, name)}")
    path = OutputFolder(output_dir).timings(name)
    known = _read(path)
    # A repeated run is the baseline's network once more.
    entries = [entry for entry in content.runs if not repeats_another(entry.overrides)]
    finished, failed = _finished_runs(output_dir, entries, options.trust)
    if not finished:
        raise ConfigError(f"study {name} has nothing to time: {'; '.join(f'{k}: {v}' for k, v in failed.items())}")
    device = _device(finished.values(), options.latency)
    latency = _resolved(finished.values(), options.latency, device)
    key = _key(latency, device)
    before = known.find(key)
    runs = {label: found.entry.run for label, found in finished.items()}
    if before is not None and (before.options, before.runs) == (key, runs) and not latency.again:
        return before, False
    try:
        with run_lock(lock_file(output_dir, f"timing-{name}")), interruptible():
            target, samples = _measured(output_dir, finished, replace(options, latency=latency), device)
            target = replace(target, options=key, failed={**failed, **target.failed})
            if not target.variants:
                raise ConfigError("nothing could be timed: " + "; ".join(f"{k}: {v}" for k, v in target.failed.items()))
            write_samples(path.with_name(f"timings-{_digest(key)}.npz"), samples)
            _read(path).with_target(target).write(path)
    except RunHeldError as error:
        raise ConfigError(f"study {name} is being timed by {error.process}; wait for it, or stop it") from error
    except LockError as error:
        raise ConfigError(str(error)) from error
    return target, True


def _read(path: Path) -> Timings:
    try:
        return Timings.read(path)
    except ValueError as error:
        raise ConfigError(f"{path} holds no timings ({error}); move it away and time the study again") from error


def _finished_runs(
    output_dir: Path, entries: Sequence[StudyEntry], trust: Trust
) -> tuple[dict[str, _Finished], dict[str, str]]:
    """The first finished run of each variant whose best.pt can be loaded; for other variants the reason."""
    found: dict[str, _Finished] = {}
    failed: dict[str, str] = {}
    for entry in entries:
        run = find_run(output_dir, entry.run)
        if entry.variant in found:
            continue
        if run.state != "finished" or run.record is None:
            failed.setdefault(entry.variant, "none of its runs has finished")
            continue
        try:
            model = load_finished(run.record, run.folder, trust, torch.device("cpu"))
        except CheckpointError as error:
            failed[entry.variant] = str(error)
            continue
        found[entry.variant] = _Finished(entry, run.record, model)
    return found, {label: reason for label, reason in failed.items() if label not in found}


def _device(finished: Collection[_Finished], latency: LatencyConfig) -> torch.device:
    """The device of `latency.device`; otherwise that of the trainings."""
    if latency.device is not None:
        return latency_device(latency.device, torch.device("cpu"))
    names = {each.record.config["trainer"].get("device") for each in finished}
    if len(names) > 1:
        raise ConfigError(
            f"the variants were trained on several devices ({_several(names)}); choose with latency.device"
        )
    try:
        return training_device(names.pop())
    except ConfigError as error:
        raise ConfigError(f"{error}; latency.device=cpu chooses another one for timing") from error


def _resolved(finished: Collection[_Finished], latency: LatencyConfig, device: torch.device) -> LatencyConfig:
    """The options with everything that the trainings decide for them, checked."""
    threads = latency.threads
    if threads is None and device.type == "cpu":
        counts = {each.record.config["trainer"].get("threads") for each in finished}
        if len(counts) > 1:
            raise ConfigError(f"the variants were trained with several trainer.threads ({_several(counts)}); "
                              "choose with latency.threads")  # fmt: skip
        threads = counts.pop()
    patience = PATIENCE_SECONDS if latency.patience is None else latency.patience
    resolved = replace(latency, enabled=True, threads=threads, patience=patience)
    check_latency(resolved, device)
    return resolved


def _several(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))


def _key(latency: LatencyConfig, device: torch.device) -> dict[str, Any]:
    """What identifies a target: the options, the device and the CPU beside it."""
    trainer = {"threads": torch.get_num_threads(), "imgsz": None}
    key = asked({"latency": plain_group(latency), "trainer": trainer}, device_name(device))
    return {**key, "cpu": cpu_model()}


def _measured(
    output_dir: Path,
    finished: Mapping[str, _Finished],
    options: TimingOptions,
    device: torch.device,
) -> tuple[Target, dict[str, Any]]:
    """The target, without the variants that have no finished run, and every single time."""
    labels = list(finished)
    with tempfile.TemporaryDirectory() as folder:
        subjects = _subjects(output_dir, finished, options, folder)
        stocks = len({subject.key for subject in subjects})
        log.info(
            "timing %s and %s in turn on %s, %s",
            number_of(len(labels), "variant"),
            "the stock model" if stocks == 1 else f"{stocks} stock models",
            device_name(device),
            options.latency.backend.value,
        )
        measured = measure_together(subjects, options.latency, device=device)
    variants: dict[str, TimedVariant] = {}
    failed: dict[str, str] = {}
    samples: dict[str, Any] = {}
    for label, subject, found in zip(labels, subjects, measured, strict=True):
        if isinstance(found, Measurement):
            entry = finished[label].entry
            beside = None if subject.baseline is None else entry.baseline
            variants[label] = TimedVariant(entry.run, found.latency, beside, found.to_baseline)
            samples |= {f"{label} {what}": times for what, times in found.samples.items()}
        else:
            failed[label] = _why(found)
    date = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    return Target({}, environment(device), date, variants, failed), samples


def _subjects(
    output_dir: Path,
    finished: Mapping[str, _Finished],
    options: TimingOptions,
    folder: str,
) -> list[Subject]:
    """Each variant with its stock model and its images, which variants share where they can."""
    labels, latency = list(finished), options.latency
    find, build, images = once(_dataset), cache(build_stock), cache(validation_images)
    subjects = []
    for label, each in finished.items():
        config, classes, channels = each.record.config, int(each.model.yaml["nc"]), channels_of(each.model)
        trainer = config["trainer"]
        dataset = find(_data(config, options), output_dir, trainer["single_cls"], trainer["fraction"])
        if (len(dataset.names), dataset.channels) != (classes, channels):
            raise ConfigError(
                f"{label} was trained with {classes} classes and {channels} channels, but {dataset.yaml} has "
                f"{len(dataset.names)} and {dataset.channels}; give the data set of the training with data.yaml=PATH"
            )
        stock = build(_source(config), classes, channels).eval()
        check_image_size("latency", latency.imgsz, config["model"]["name"], largest_stride(stock))
        imgsz = latency.imgsz or trainer["imgsz"]
        baseline = each.entry.baseline or label
        subjects.append(
            Subject(
                model=each.model,
                stock=stock,
                images=images(dataset.yaml, channels),
                imgsz=imgsz,
                validate=validation(
                    dataset,
                    latency,
                    imgsz=imgsz,
                    trained_imgsz=trainer["imgsz"],
                    single_cls=trainer["single_cls"],
                    folder=folder,
                ),
                baseline=labels.index(baseline) if baseline in labels and baseline != label else None,
            )
        )
    return subjects


def _dataset(data: Data, output_dir: Path, single_cls: bool, fraction: Any) -> Dataset:
    try:
        return find_dataset(data, output_dir, single_cls, fraction)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; a study is timed on its validation images, data.yaml=PATH says where they are on this machine"
        ) from error


def _data(config: Mapping[str, Any], options: TimingOptions) -> Data:
    """The data group of a record, on this machine."""
    values: dict[str, Any] = {**config["data"], "download": options.download}
    if "train_images" in values:
        if options.data_yaml is not None:
            raise ConfigError(
                f"data.yaml={options.data_yaml}: the study was trained on the digits, which are made where they are "
                "missing; leave it out"
            )
        return own_data(typed_group(values, DigitsConfig))
    if options.data_yaml is not None:
        known = {field.name for field in fields(PublicDataConfig)}
        values = {key: value for key, value in values.items() if key in known} | {"yaml": options.data_yaml}
    elif "source" in values:
        values |= {"source": None} if options.download else {}
        return own_data(typed_group(values, VocDataConfig))
    return own_data(typed_group(values, PublicDataConfig))


def _source(config: Mapping[str, Any]) -> str:
    """The stock model of a record."""
    values: dict[str, Any] = config["model"]
    model: ModelConfig = typed_group(values, OwnModelConfig if "digest" in values else ModelConfig)
    return model.source


def _why(error: Failed) -> str:
    return without_passwords(f"{type(error).__name__}: {error}")


def _digest(options: Mapping[str, Any]) -> str:
    """A name for a target's file."""
    return sha256(dumps({key: options[key] for key in WHERE}).encode()).hexdigest()[:8]
