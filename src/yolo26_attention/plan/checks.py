"""All checks of a configuration, made before anything is trained.

A checked configuration becomes a `Plan`, which holds everything that the runner needs.
"""

import copy
import dataclasses
import inspect
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import given_overrides, own_folders
from yolo26_attention.config.schema import SCHEMAS
from yolo26_attention.data.datasets import Dataset, DatasetError, resolve_dataset
from yolo26_attention.data.dependent_images import GroupsError, check_groups
from yolo26_attention.data.digits import build_digits
from yolo26_attention.detector.building import find_class
from yolo26_attention.detector.freezing import check_freeze
from yolo26_attention.detector.grafted import graft_of
from yolo26_attention.detector.grafting import graft, prepare, probe_sites
from yolo26_attention.detector.own_imports import compile_from_source
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.probe.deployment import RUNTIMES
from yolo26_attention.detector.same_graft import graft_difference
from yolo26_attention.detector.sites import Site, largest_stride
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import MODELS, build_stock, check_weights, find_weights
from yolo26_attention.detector.trust import Trust, check_target, is_shipped
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.locks import only_within_this_machine
from yolo26_attention.files.record import Record, without_passwords
from yolo26_attention.plan.arguments import (
    check_image_size,
    check_latency,
    check_lone_image,
    check_objectives,
    lone_image,
    training_arguments,
)
from yolo26_attention.plan.earlier import place_of
from yolo26_attention.plan.identity import ABOUT_CLASS
from yolo26_attention.plan.own_code import code_changed, imported_fingerprint
from yolo26_attention.plan.tracking_options import check_tracking, follow_environment
from yolo26_attention.plan.training_options import check_training_options
from yolo26_attention.training.param_groups import GraftOptions
from yolo26_attention.training.trainer import find_device

log = logging.getLogger(__name__)
DIGITS_DEFAULTS = {"train_images": 512, "val_images": 128, "imgsz": 160, "seed": 0}


@dataclass(frozen=True)
class Plan:
    """A configuration that passed every check.

    `arguments` are for Ultralytics' trainer; `folder` is the run's folder. `given` is the configuration as composed,
    `config` as resolved. src/yolo26_attention/plan/earlier.py explains `identity_version`, `replaces` and `remark`.
    """

    config: dict[str, Any]
    run_id: str
    folder: Path
    dataset: Dataset
    grafts: tuple[Graft, ...]
    graft_options: GraftOptions
    arguments: dict[str, Any]
    device: torch.device
    trust: Trust
    given: dict[str, Any]
    identity_version: int
    replaces: Path | None
    remark: str | None


def check(config: Mapping[str, Any]) -> Plan:
    """Check a resolved configuration (plain values): find data, weights and device, and build the model.

    Raises:
        ConfigError: naming the key, the value and a way out.
    """
    return Checker().check(config)


class Checker:
    """Checks many configurations; each lookup, build or error that they share happens only once."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Any] = {}

    def check(self, config: Mapping[str, Any]) -> Plan:
        """See the function `check`.

        Raises:
            ConfigError: naming the key, the value and a way out.
        """
        given = dict(config)
        trust = Trust(config["trust"], tuple(own_folders()))
        output_dir = self._once(_writable, config["output_dir"])
        tracking = self._once(follow_environment, config["tracking"], given_overrides())
        self._once(check_tracking, tracking, config["study"], output_dir)
        config = {**config, "tracking": tracking}
        model = config["model"]
        if model["name"] not in MODELS:
            raise ConfigError(f"model.name={model['name']} is unknown; choose one of {', '.join(MODELS)}")
        device = self._once(_device, config["trainer"]["device"])
        weights = self._once(_weights, model["weights"])
        data = _own_data(config["data"])
        trainer = config["trainer"]
        dataset = self._once(_dataset, data, output_dir, trainer["single_cls"], trainer["fraction"])
        config = {**config, "data": data}
        config["attention"] = dict(self._once(_own_class, config["attention"], trust))
        grafts = _grafts(config, trust)
        for one in grafts:
            if one.match is not None:
                config["placebo"] = _placebo(config["placebo"], one.match)
        check_objectives(config)
        arguments = training_arguments(config, dataset, weights)
        check_training_options(config, device.type, dataset.yaml)
        self._once(check_latency, config["latency"], device)
        sites = self._build(config, grafts, dataset, weights, trust, device)
        if sites:  # [neck] and [p5,p3,p4] are the same experiment
            config["placement"] = {**config["placement"], "sites": list(sites)}
        place = place_of(output_dir / "runs", config, dataset, weights and self._once(file_digest, weights))
        return Plan(
            config=config,
            run_id=place.run_id,
            folder=place.folder,
            dataset=dataset,
            grafts=grafts,
            graft_options=GraftOptions(**config["optimizer"]["attention"]),
            arguments=arguments | {"save_dir": str(RunFolder(place.folder).train), "exist_ok": True},
            device=device,
            trust=trust,
            given=given,
            identity_version=place.identity_version,
            replaces=place.replaces,
            remark=place.remark,
        )

    def _build(
        self,
        config: Mapping[str, Any],
        grafts: tuple[Graft, ...],
        dataset: Dataset,
        weights: Path | None,
        trust: Trust,
        device: torch.device,
    ) -> list[str]:
        """Build the parts of the model, so that invalid options fail now. Returns the names of the grafted sites."""
        name = config["model"]["name"]
        network = (name, len(dataset.names), dataset.channels)
        stock, sites = self._once(_stock, *network)
        for key in ("trainer", "latency"):
            check_image_size(key, config[key]["imgsz"], name, largest_stride(stock))
        source = None if weights is None else self._once(_fits, weights, network, trust, use=(stock,))
        lone = lone_image(config["trainer"], dataset.splits["train"].images)
        check_lone_image(lone, config["trainer"], largest_stride(stock))
        run_use = Use(str(device), config["trainer"]["amp"] is not False, _runtime(config["latency"]), lone)
        # The seed does not affect whether the graft fits.
        grafts = tuple(dataclasses.replace(one, seed=0) for one in grafts)
        grafted: list[str] = self._once(_grafted_sites, grafts, network, run_use, use=(stock, sites))
        if source is not None:
            self._once(_keeps_graft, weights, grafts, network, use=(source, stock))
        if (freeze := config["trainer"]["freeze"]) is not None:
            self._once(_freezable, freeze, config["optimizer"]["attention"]["frozen"], grafts, network, use=(stock,))
        return grafted

    def _once(self, function: Callable[..., Any], *arguments: Any, use: tuple[Any, ...] = ()) -> Any:
        """Call the function once per `arguments` and cache its result or error; `use` depends on `arguments`."""
        key = (function.__name__, repr(arguments))
        if key not in self._answers:
            try:
                self._answers[key] = function(*arguments, *use)
            except ConfigError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, ConfigError):
            raise ConfigError(str(answer)) from answer
        return answer


def _writable(output_dir: str) -> Path:
    path = Path(output_dir).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        given, found = (os.fsencode(name).decode(errors="replace") for name in (output_dir, path))
        raise ConfigError(
            f"output_dir={given}: {found} has characters that this locale lacks (its encoding is "
            f"{sys.getfilesystemencoding()}); set PYTHONUTF8=1, or a UTF-8 locale, such as LC_ALL=C.UTF-8"
        ) from error
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output_dir={output_dir} cannot be created ({error.strerror}); choose another folder"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"output_dir={output_dir} is not writable; choose another folder, or change its permissions")
    if reason := only_within_this_machine(path):
        log.warning("locks work only within this machine: %s; do not start one run on two machines at once", reason)
    return path


def _device(name: str | None) -> torch.device:
    try:
        device = find_device(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if name is not None and "," in name and find_spec("cloudpickle") is None:
        raise ConfigError(f"trainer.device={name} needs cloudpickle; install with: pip install -e '.[ddp]'")
    return device


def _weights(name: str | None) -> Path | None:
    try:
        return None if name is None else find_weights(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _own_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Treat `data.yaml=PATH` with the default group as the user's own data set instead of the digits."""
    if data["yaml"] is None and data["name"] != "digits":
        raise ConfigError(
            f"data.name={data['name']} does not change the images; choose a data set with data=NAME or data.yaml=PATH"
        )
    if data["groups"] is not None:
        try:
            check_groups(data["groups"])
        except GroupsError as error:
            raise ConfigError(str(error)) from error
    if data["name"] != "digits" or data["yaml"] is None:
        return dict(data)
    changed = [key for key, value in DIGITS_DEFAULTS.items() if data[key] != value]
    if changed:
        raise ConfigError(
            f"data.{changed[0]}={data[changed[0]]} has no effect on data.yaml={data['yaml']}; give one of the two"
        )
    return {
        "name": Path(data["yaml"]).stem,
        "yaml": data["yaml"],
        "download": data["download"],
        "groups": data["groups"],
    }


def _dataset(data: Mapping[str, Any], output_dir: Path, single_cls: bool, fraction: float | int) -> Dataset:
    cache = output_dir / "data"
    try:
        if data["yaml"] is None:
            name, download = str(build_digits(cache, **{key: data[key] for key in DIGITS_DEFAULTS})), False
        else:
            name, download = data["yaml"], data["download"]
        return resolve_dataset(name, download=download, single_cls=single_cls, fraction=fraction, cache=cache)
    except (DatasetError, ValueError) as error:
        raise ConfigError(without_passwords(str(error))) from error


def _own_class(attention: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    """The attention group; for a user's class, with a fingerprint of its file, as changed code is a new run."""
    compile_from_source()
    missing = [key for key in ("name", "_target_") if key not in attention]
    if "_target_" in attention:
        _trusted("attention._target_", attention["_target_"], trust)
    shipped = SCHEMAS["attention"].get(attention.get("name", ""))
    if shipped is not None and attention.get("_target_") != getattr(shipped, "_target_", None):
        raise ConfigError(
            f"attention.name={attention['name']} means another class than "
            f"attention._target_={attention.get('_target_')}; choose attention=NAME, or give the class its own name"
        )
    if "source" in attention:
        raise ConfigError(
            f"attention.source={attention['source']}: source is reserved for the fingerprint of your code, as are name "
            f"and _target_ for the attention; rename this option in your YAML and in {attention.get('_target_')}"
        )
    if attention.get("name") == "baseline" or (not missing and is_shipped(attention["_target_"])):
        return dict(attention)
    if missing:
        raise ConfigError(
            f"attention.name={attention.get('name')}: your YAML has no {missing[0]}; it needs `name: NAME` and "
            "`_target_: MODULE.CLASS`, and may have options of the class"
        )
    _check_reserved(attention)
    return {**attention, "source": _source(attention["_target_"])}


def _check_reserved(attention: Mapping[str, Any]) -> None:
    """Refuse a user's class with an option that has the name of a key of this program, and so would never reach it."""
    target = attention["_target_"]
    try:
        taken = [key for key in ABOUT_CLASS if key in inspect.signature(find_class(target)).parameters]
    except (ValueError, TypeError):  # it cannot be imported, which the caller reports, or has no signature
        return
    if taken:
        raise ConfigError(
            f"attention._target_={target} has an option {taken[0]}, but {', '.join(ABOUT_CLASS)} are reserved for the "
            "attention itself and never reach the class; rename the option"
        )


def _source(target: str) -> str | None:
    """Fingerprint of a class's code, as changed code is a new run."""
    try:
        return imported_fingerprint(find_class(target))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


def _placebo(placebo: Mapping[str, Any], match: Match) -> dict[str, Any]:
    """The placebo group with all options of the attention that it matches, and the source of a user's class."""
    own = {} if is_shipped(match.target) else {"source": _source(match.target)}
    return {**placebo, "options": dict(match.options), **own}


def _trusted(key: str, target: Any, trust: Trust) -> None:
    try:
        check_target(key, target, trust)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _grafts(config: Mapping[str, Any], trust: Trust) -> tuple[Graft, ...]:
    attention = {key: value for key, value in config["attention"].items() if key != "source"}
    name, target = attention.pop("name"), attention.pop("_target_", None)
    if target is None:
        return ()
    placement = config["placement"]
    called = str(name)
    return (
        Graft(
            target,
            attention,
            tuple(placement["sites"]),
            config["seed"],
            placement["mode"],
            placement["gate"],
            _match(config, trust) if name == "placebo" else None,
            called,
        ),
    )


def _match(config: Mapping[str, Any], trust: Trust) -> Match:
    placebo = config["placebo"]
    given = {} if placebo["options"] is None else placebo["options"]
    if not isinstance(given, Mapping):
        raise ConfigError(f"placebo.options={given} is not a set of options; write placebo.options={{kernel_att: 5}}")
    try:
        target, options = resolve_options(placebo["matches"], given)
    except ValueError as error:
        raise ConfigError(f"placebo.matches={placebo['matches']}: {error}") from error
    _trusted("placebo.matches", target, trust)
    return Match(placebo["matches"], target, options, placebo["by"], config["trainer"]["imgsz"])


def _stock(name: str, classes: int, channels: int) -> tuple[nn.Module, Mapping[str, Site]]:
    stock = build_stock(name, classes, channels)
    return stock, probe_sites(stock)


def _fits(weights: Path, network: tuple[str, int, int], trust: Trust, stock: nn.Module) -> nn.Module:
    try:
        return check_weights(weights, stock, trust)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _keeps_graft(
    weights: Path, grafts: tuple[Graft, ...], network: tuple[str, int, int], source: nn.Module, stock: nn.Module
) -> None:
    if graft_of(source) and (difference := graft_difference(_joined(stock, grafts), source)):
        raise ConfigError(
            f"model.weights={weights}: {difference}; its learned values would be lost, so choose the attention, "
            "placement and options of the checkpoint, or give a checkpoint without attention"
        )
    if (changed := _code_changed(weights)) is not None:
        log.warning("model.weights=%s: %s; its learned values are loaded into today's code", weights, changed)


def _code_changed(weights: Path) -> str | None:
    """Whether the code of a user's class changed after the run that a checkpoint is of; None if none is known."""
    folder = next((folder for folder in weights.resolve().parents if RunFolder(folder).record.is_file()), None)
    with suppress(ValueError):  # an unreadable record says nothing
        record = None if folder is None else Record.read(folder)
        return None if record is None else code_changed(record.config.get("attention", {}))
    return None


def _freezable(
    freeze: Any, graft_frozen: bool, grafts: tuple[Graft, ...], network: tuple[str, int, int], stock: nn.Module
) -> None:
    try:
        check_freeze(_joined(stock, grafts), freeze, graft_frozen)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _joined(stock: nn.Module, grafts: tuple[Graft, ...]) -> nn.Module:
    """A copy of the stock model with the graft in it."""
    model = copy.deepcopy(stock)
    graft(model, *grafts)
    return model


def _grafted_sites(
    grafts: tuple[Graft, ...], network: tuple[str, int, int], use: Use, stock: nn.Module, sites: Mapping[str, Site]
) -> list[str]:
    """Names of the sites that the graft occupies; the stock model is not changed."""
    try:
        return [site.name for site in prepare(stock, *grafts, sites=sites, use=use).sites]
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _runtime(latency: Mapping[str, Any]) -> str | None:
    """The runtime, if it needs the network exported or compiled as a whole; otherwise None."""
    return RUNTIMES.get(latency["backend"]) if latency["enabled"] else None
