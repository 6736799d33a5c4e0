"""From Python: an `ultralytics.YOLO` with attention in it, for notebooks and other people's scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from ultralytics import YOLO

from src.attention.options import resolve_options
from src.detector.grafting import Graft, graft, graft_of, guard_hooks
from src.detector.matching import Match
from src.trainer import Grafting


def grafted_yolo(
    model: str | Path = "yolo26n.pt",
    attention: str | type[nn.Module] | None = None,
    sites: Sequence[str] = ("neck",),
    *,
    options: Mapping[str, Any] | None = None,
    mode: str = "append",
    gate: str = "none",
    seed: int = 0,
    match: Mapping[str, Any] | None = None,
) -> YOLO:
    """Build a YOLO26 of any task with attention in it; `.train()`, `.val()`, `.predict()` and `.export()` keep it.

    Args:
        model: what `YOLO` takes: `yolo26n.pt`, `yolo26s-seg.yaml`, a checkpoint of one's own.
        attention: as `attention=` on the command line, or a class called with a site's channels; None takes the graft
            that a checkpoint already has, together with its sites, options, mode, gate and seed.
        sites: as `placement.sites`.
        options: as `attention.*`, those that differ from the defaults.
        mode: as `placement.mode`.
        gate: as `placement.gate`.
        seed: from which the graft's initial values are drawn; the seed of the training is `.train(seed=...)`.
        match: of attention="placebo": {"matches": "acmix"}, and as wished "options", "by", and the "imgsz" at which
            FLOPs are matched.

    Raises:
        ValueError: naming what does not fit and what would.
    """
    if attention is None:
        return GraftedYOLO(model)
    what = _attention(attention, options or {}, match)
    return GraftedYOLO(model, replace(what, sites=tuple(sites), seed=seed, mode=mode, gate=gate))


class GraftedYOLO(YOLO):
    """A YOLO whose network has a graft that training keeps.

    Args:
        model: what `YOLO` takes.
        spec: what is grafted; None for the graft that the checkpoint has.

    Raises:
        ValueError: if the network cannot take the graft, has one already, or has none where one is expected.
    """

    def __init__(self, model: str | Path, spec: Graft | None = None):
        super().__init__(model)
        guard_hooks()
        if not isinstance(self.model, nn.Module):
            raise ValueError(f"model={model} is an exported network, which takes no graft; give a .pt or a .yaml")
        has = graft_of(self.model)
        if spec is None and has.target is None:
            raise ValueError(f"model={model} has no graft; say attention=NAME, for example acmix")
        if spec is not None and has.target is not None:
            raise ValueError(f"model={model} has a graft already ({has.target}); leave attention out to go on with it")
        if spec is not None:
            graft(self.model, spec)
        self.graft_spec = has if spec is None else spec

    def train(self, trainer: type | None = None, **kwargs: Any) -> Any:
        """Ultralytics' `train`; the trainer of the task, or the one given, keeps the graft."""
        base = trainer or self._smart_load("trainer")
        grafting = type(f"Grafting{base.__name__}", (Grafting, base), {})
        return super().train(trainer=grafting.configured(self.graft_spec), **kwargs)

    def tune(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not possible: Ultralytics' tuner starts `yolo train` in another process, which builds the stock network.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Ultralytics' tuner loses the graft; sweep with python -m src.train -m instead")


def _attention(attention: str | type[nn.Module], options: Mapping[str, Any], match: Mapping[str, Any] | None) -> Graft:
    """A graft without its placement."""
    if attention == "placebo":
        wanted = {"by": "parameters", "imgsz": 640, **(match or {})}
        if unknown := set(wanted) - {"matches", "options", "by", "imgsz"} or ({"matches"} - set(wanted)):
            raise ValueError(f"match={match}: {unknown.pop()}; it has matches, and as wished options, by, imgsz")
        target, resolved = resolve_options(wanted["matches"], wanted.get("options") or {})
        found = Match(wanted["matches"], target, resolved, wanted["by"], wanted["imgsz"])
        return Graft("src.attention.placebo.Placebo", {"shortcut": True, **options}, match=found)
    if match is not None:
        raise ValueError(f"match={match} says what a placebo stands for, and attention={attention} is none")
    if attention == "baseline":
        return Graft()
    if not isinstance(attention, str):
        attention = f"{attention.__module__}.{attention.__qualname__}"
    target, resolved = resolve_options(attention, options)
    return Graft(target, resolved)
