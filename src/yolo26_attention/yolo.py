"""From Python: an `ultralytics.YOLO` with attention in it, for notebooks and other people's scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from ultralytics import YOLO

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.compat.pytorch import guard_hooks
from yolo26_attention.detector.grafting import Graft, graft, graft_of, prepare
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.probe import Use
from yolo26_attention.detector.trust import Trust, check_target, known_classes_only
from yolo26_attention.training.trainer import Grafting


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
    trust: bool = False,
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
        trust: load a checkpoint although it holds classes that are neither Ultralytics' nor this program's.

    Raises:
        ValueError: naming what does not fit and what would.
    """
    if attention is None:
        return GraftedYOLO(model, trust=Trust(trust))
    what = _attention(attention, options or {}, match)
    return GraftedYOLO(model, replace(what, sites=tuple(sites), seed=seed, mode=mode, gate=gate), Trust(trust))


class GraftedYOLO(YOLO):
    """A YOLO whose network has a graft that training keeps.

    Args:
        model: what `YOLO` takes.
        spec: what is grafted; None for the graft that the checkpoint has.
        trust: whose classes the checkpoint may hold.

    Raises:
        ValueError: if the network cannot take the graft, has one already, or has none where one is expected, or if the
            checkpoint holds a class that is not trusted.
    """

    graft_spec: Graft

    def __init__(self, model: str | Path, spec: Graft | None = None, trust: Trust | None = None):
        self.trust = trust or Trust()
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
            prepare(self.model, spec, use=Use())
            graft(self.model, spec)
        else:  # training imports them by name, and the names are the checkpoint's
            for target in [has.target] if has.match is None else [has.target, has.match.target]:
                check_target(f"model={model}: the class of its graft", target, self.trust)
        self.graft_spec = has if spec is None else spec

    def _load(self, weights: str, task: str | None = None) -> None:
        with known_classes_only("model", weights, self.trust):
            super()._load(weights, task)

    def train(self, trainer: type | None = None, **kwargs: Any) -> Any:  # type: ignore[override]  # as YOLO's own does
        """Ultralytics' `train`; the trainer of the task, or the one given, keeps the graft."""
        base = trainer or self._smart_load("trainer")
        grafting: Any = type(f"Grafting{base.__name__}", (Grafting, base), {})
        return super().train(trainer=grafting.configured(self.graft_spec, trust=self.trust), **kwargs)

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
        if set(wanted) - {"matches", "options", "by", "imgsz"} or "matches" not in wanted:
            raise ValueError(f"match={match}: it needs matches, and may have options, by and imgsz, but no others")
        target, resolved = resolve_options(wanted["matches"], wanted.get("options") or {})
        found = Match(wanted["matches"], target, resolved, wanted["by"], wanted["imgsz"])
        return Graft("yolo26_attention.attention.placebo.Placebo", {"shortcut": True, **options}, match=found)
    if match is not None:
        raise ValueError(f"match={match} says what a placebo stands for, and attention={attention} is none")
    if attention == "baseline":
        return Graft()
    if not isinstance(attention, str):
        attention = f"{attention.__module__}.{attention.__qualname__}"
    target, resolved = resolve_options(attention, options)
    return Graft(target, resolved)
