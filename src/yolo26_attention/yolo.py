"""Python API: an `ultralytics.YOLO` with attention, for notebooks and scripts."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

from torch import nn
from ultralytics import YOLO
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils import DEFAULT_CFG_DICT

from yolo26_attention.attention.options import BASELINE, resolve_options
from yolo26_attention.compat.pytorch import guard_hooks
from yolo26_attention.compat.ultralytics import fuse_grafts
from yolo26_attention.detector.grafted import graft_of
from yolo26_attention.detector.grafting import graft, prepare
from yolo26_attention.detector.mix import PLACEBO, Entry, read_mix
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.same_graft import graft_difference, load_graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.trust import Trust, check_target, known_classes_only
from yolo26_attention.latency.networks import prepared_export
from yolo26_attention.training.trainer import Grafting


def grafted_yolo(
    model: str | Path = "yolo26n.pt",
    attention: str | type[nn.Module] | Mapping[str, Any] | None = None,
    sites: Sequence[str] = ("neck",),
    *,
    options: Mapping[str, Any] | None = None,
    mode: str = "append",
    gate: str = "none",
    seed: int = 0,
    match: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> YOLO:
    """Build a YOLO26 of any task with attention, kept by `.train()`, `.val()`, `.predict()` and `.export()`.

    Args:
        model: as for `YOLO`: `yolo26n.pt`, `yolo26s-seg.yaml`, or your own checkpoint. The attention joins that of a
            grafted checkpoint.
        attention: as `attention=` on the command line ("baseline" ignores sites, mode, gate and seed, so that a loop
            over attentions can include it); a class called with a site's channels; or a mix as
            `attention.grafts`, such as {"p3": "acmix", "p5": {"name": "cbam", "mode": "replace"}}. None keeps the
            graft of a checkpoint, with its sites, options, mode, gate and seed.
        sites: as `placement.sites`; a mix names its own.
        options: as `attention.*`, only those that differ from the defaults; a mix names its own.
        mode: as `placement.mode`; in a mix, for each attention without its own.
        gate: as `placement.gate`; likewise.
        seed: seed of the graft's initial values; the seed of the training is `.train(seed=...)`.
        match: for attention="placebo": {"matches": "acmix"}, optionally with "options", "by", and the "imgsz" at which
            FLOPs are matched.
        trust: load a checkpoint even if it holds classes that are neither Ultralytics' nor this program's.

    Raises:
        ValueError: if an argument does not fit; the message says what does.
    """
    of_all = {"mode": mode, "gate": gate, "seed": seed}
    neck = tuple(sites) == ("neck",)
    of_one = {"sites": ("neck",) if neck else sites, "options": options or None, "match": match or None}
    if attention is None:
        _refuse_idle({**of_one, **of_all}, "if a checkpoint keeps its graft", "give attention=NAME to graft another")
        return GraftedYOLO(model, trust=Trust(trust))
    if isinstance(attention, Mapping):
        _refuse_idle(of_one, "on a mix", f"write it into the mapping {attention}")
        mixed = tuple(_graft_of_entry(entry, seed, mode, gate) for entry in read_mix(attention))
        return GraftedYOLO(model, mixed, Trust(trust))
    what = _attention(attention, options or {}, match)
    if what is None:
        _refuse_idle({"options": of_one["options"]}, f"with attention={BASELINE}", "leave it out")
        return GraftedYOLO(model, (), Trust(trust))
    return GraftedYOLO(model, (replace(what, sites=tuple(sites), **of_all),), Trust(trust))  # type: ignore[arg-type]


class GraftedYOLO(YOLO):
    """A YOLO whose network keeps its graft in training.

    Args:
        model: as for `YOLO`.
        grafts: what joins the network; None for what the checkpoint has.
        trust: whose classes the checkpoint may hold.

    Raises:
        ValueError: if the network cannot take the graft or lacks an expected one, or if the checkpoint holds a class
            that is not trusted.
    """

    grafts: tuple[Graft, ...]

    def __init__(self, model: str | Path, grafts: tuple[Graft, ...] | None = None, trust: Trust | None = None):
        self.trust = trust or Trust()
        super().__init__(model)
        guard_hooks()
        fuse_grafts()
        if not isinstance(self.model, nn.Module):
            raise ValueError(f"model={model} is an exported network, which cannot be grafted; give a .pt or a .yaml")
        has = graft_of(self.model)
        if grafts is None and not has:
            raise ValueError(f"model={model} has no graft; give attention=NAME, for example acmix")
        if grafts == () and has:
            names = ", ".join(one.name for one in has)
            raise ValueError(f"model={model} has a graft ({names}), which attention=baseline does not remove")
        targets = [one.target for one in has] + [one.match.target for one in has if one.match is not None]
        for target in targets:  # training imports these classes by the names in the checkpoint
            check_target(f"model={model}: the class of its graft", target, self.trust)
        prepare(self.model, *(grafts or ()), use=Use())
        graft(self.model, *(grafts or ()))
        self.grafts = graft_of(self.model)

    def _load(self, weights: str, task: str | None = None) -> None:
        with known_classes_only("model", weights, self.trust):
            super()._load(weights, task)

    def load(self, weights: str | Path | dict[str, Any] | nn.Module = "yolo26n.pt") -> "GraftedYOLO":
        """Load values by name and shape as in Ultralytics, and those of the checkpoint's attention.

        Args:
            weights: a checkpoint, by its path or as Ultralytics loads it, or a network.

        Raises:
            ValueError: if the network lacks an attention of the checkpoint, whose values would be lost, or if the file
                holds a class that is not trusted.
        """
        named = str(weights) if isinstance(weights, str | Path) else type(weights).__name__
        with known_classes_only("weights", weights, self.trust):
            source = _network_in(weights)
            network = cast(nn.Module, self.model)
            if difference := graft_difference(network, source):
                raise ValueError(
                    f"weights={named}: {difference}; its learned values would be lost, so give a checkpoint with "
                    "attentions of this network or with none, or start from it with grafted_yolo"
                )
            super().load(weights)
        load_graft(network, source)
        return self

    def train(self, trainer: type | None = None, **kwargs: Any) -> Any:  # type: ignore[override]  # as YOLO's own does
        """Train as in Ultralytics; the trainer of the task, or the given one, keeps the graft."""
        base = trainer or self._smart_load("trainer")
        grafting: Any = type(f"Grafting{base.__name__}", (Grafting, base), {})
        return super().train(trainer=grafting.configured(self.grafts, trust=self.trust), **kwargs)

    def export(self, **kwargs: Any) -> Any:
        """Export as in Ultralytics; with dynamic=False the graft takes only the exported image size, and is faster."""
        network = cast(nn.Module, self.model)
        arguments = {**DEFAULT_CFG_DICT, **self.overrides, **kwargs}
        with prepared_export(network, str(arguments["format"]).lower(), dynamic=bool(arguments["dynamic"])):
            return super().export(**kwargs)

    def tune(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not supported: Ultralytics' tuner starts `yolo train` in another process, which builds the stock network.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Ultralytics' tuner loses the graft; sweep with python -m src.train -m instead")


def _refuse_idle(given: Mapping[str, Any], where: str, way_out: str) -> None:
    """Refuse arguments of `grafted_yolo` that nothing reads, unless they have their default."""
    defaults = inspect.signature(grafted_yolo).parameters
    for key, value in given.items():
        if value != defaults[key].default:
            raise ValueError(f"{key}={value} has no effect {where}; {way_out}")


def _network_in(weights: str | Path | dict[str, Any] | nn.Module) -> nn.Module:
    """The network that `YOLO.load` takes the values of."""
    held: Any = load_checkpoint(weights)[0] if isinstance(weights, str | Path) else weights
    network: nn.Module = (held.get("ema") or held["model"]) if isinstance(held, dict) else held
    return network


def _graft_of_entry(entry: Entry, seed: int, mode: str, gate: str) -> Graft:
    """The graft that an entry of a mix asks for.

    Raises:
        ValueError: with the entry's key.
    """
    try:
        what = _attention(entry.target or entry.name, entry.options, entry.matching or None)
    except ValueError as error:
        raise ValueError(f"{entry.key}: {error}") from error
    if what is None:
        raise ValueError(f"{entry.key}=baseline is no attention; leave the site out")
    return replace(
        what,
        sites=(entry.site,),
        seed=seed,
        mode=entry.joining.get("mode", mode),
        gate=entry.joining.get("gate", gate),
        called=entry.name,
        key=entry.key,
    )


def _attention(
    attention: str | type[nn.Module], options: Mapping[str, Any], match: Mapping[str, Any] | None
) -> Graft | None:
    """A graft without its placement; None for the baseline."""
    if attention in ("placebo", PLACEBO):
        wanted = match or {}
        if set(wanted) - {"matches", "options", "by", "imgsz"} or "matches" not in wanted:
            raise ValueError(f"match={match}: needs matches, and may have options, by and imgsz, but no others")
        target, resolved = resolve_options(wanted["matches"], wanted.get("options") or {})
        found = Match(
            wanted["matches"], target, resolved, **{key: wanted[key] for key in ("by", "imgsz") if key in wanted}
        )
        return Graft(PLACEBO, {"shortcut": True, **options}, match=found)
    if match is not None:
        raise ValueError(f"match={match} is for a placebo, but attention={attention} is none")
    if attention == BASELINE:
        return None
    if not isinstance(attention, str):
        attention = f"{attention.__module__}.{attention.__qualname__}"
    target, resolved = resolve_options(attention, options)
    return Graft(target, resolved)
