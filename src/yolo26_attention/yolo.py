"""Python API: an `ultralytics.YOLO` with attention, for notebooks and scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from ultralytics import YOLO

from yolo26_attention.attention.options import BASELINE, resolve_options
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
    """Build a YOLO26 of any task with attention, kept by `.train()`, `.val()`, `.predict()` and `.export()`.

    Args:
        model: as for `YOLO`: `yolo26n.pt`, `yolo26s-seg.yaml`, or your own checkpoint.
        attention: as `attention=` on the command line, or a class called with a site's channels; None keeps the graft
            of a checkpoint, with its sites, options, mode, gate and seed.
        sites: as `placement.sites`.
        options: as `attention.*`, only those that differ from the defaults.
        mode: as `placement.mode`.
        gate: as `placement.gate`.
        seed: seed of the graft's initial values; the seed of the training is `.train(seed=...)`.
        match: for attention="placebo": {"matches": "acmix"}, optionally with "options", "by", and the "imgsz" at which
            FLOPs are matched.
        trust: load a checkpoint even if it holds classes that are neither Ultralytics' nor this program's.

    Raises:
        ValueError: if an argument does not fit; the message says what does.
    """
    if attention is None:
        return GraftedYOLO(model, trust=Trust(trust))
    what = _attention(attention, options or {}, match)
    return GraftedYOLO(model, replace(what, sites=tuple(sites), seed=seed, mode=mode, gate=gate), Trust(trust))


class GraftedYOLO(YOLO):
    """A YOLO whose network keeps its graft in training.

    Args:
        model: as for `YOLO`.
        spec: the graft; None for that of the checkpoint.
        trust: whose classes the checkpoint may hold.

    Raises:
        ValueError: if the network cannot take the graft, already has one, or lacks an expected one, or if the
            checkpoint holds a class that is not trusted.
    """

    graft_spec: Graft

    def __init__(self, model: str | Path, spec: Graft | None = None, trust: Trust | None = None):
        self.trust = trust or Trust()
        super().__init__(model)
        guard_hooks()
        if not isinstance(self.model, nn.Module):
            raise ValueError(f"model={model} is an exported network, which cannot be grafted; give a .pt or a .yaml")
        has = graft_of(self.model)
        if spec is None and has.target is None:
            raise ValueError(f"model={model} has no graft; give attention=NAME, for example acmix")
        if spec is not None and has.target is not None:
            raise ValueError(f"model={model} already has a graft ({has.target}); leave out attention to keep it")
        if spec is not None:
            prepare(self.model, spec, use=Use())
            graft(self.model, spec)
        else:  # training imports these classes by the names in the checkpoint
            for target in [has.target] if has.match is None else [has.target, has.match.target]:
                check_target(f"model={model}: the class of its graft", target, self.trust)
        self.graft_spec = has if spec is None else spec

    def _load(self, weights: str, task: str | None = None) -> None:
        with known_classes_only("model", weights, self.trust):
            super()._load(weights, task)

    def train(self, trainer: type | None = None, **kwargs: Any) -> Any:  # type: ignore[override]  # as YOLO's own does
        """Train as in Ultralytics; the trainer of the task, or the given one, keeps the graft."""
        base = trainer or self._smart_load("trainer")
        grafting: Any = type(f"Grafting{base.__name__}", (Grafting, base), {})
        return super().train(trainer=grafting.configured(self.graft_spec, trust=self.trust), **kwargs)

    def tune(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not supported: Ultralytics' tuner starts `yolo train` in another process, which builds the stock network.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Ultralytics' tuner loses the graft; sweep with python -m src.train -m instead")


def _attention(attention: str | type[nn.Module], options: Mapping[str, Any], match: Mapping[str, Any] | None) -> Graft:
    """A graft without its placement."""
    if attention == "placebo":
        wanted = match or {}
        if set(wanted) - {"matches", "options", "by", "imgsz"} or "matches" not in wanted:
            raise ValueError(f"match={match}: needs matches, and may have options, by and imgsz, but no others")
        target, resolved = resolve_options(wanted["matches"], wanted.get("options") or {})
        found = Match(
            wanted["matches"], target, resolved, **{key: wanted[key] for key in ("by", "imgsz") if key in wanted}
        )
        return Graft("yolo26_attention.attention.placebo.Placebo", {"shortcut": True, **options}, match=found)
    if match is not None:
        raise ValueError(f"match={match} is for a placebo, but attention={attention} is none")
    if attention == BASELINE:
        return Graft()
    if not isinstance(attention, str):
        attention = f"{attention.__module__}.{attention.__qualname__}"
    target, resolved = resolve_options(attention, options)
    return Graft(target, resolved)
