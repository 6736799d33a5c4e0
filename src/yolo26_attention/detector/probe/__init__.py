"""Try a module as a run will use it, before anything is trained."""

from dataclasses import replace

from yolo26_attention.detector.isolation import kept_settings, own_generator, surroundings
from yolo26_attention.detector.probe.candidate import Candidate, UnfitError, Use
from yolo26_attention.detector.probe.deployment import check_export, check_fusing
from yolo26_attention.detector.probe.memory import check_state
from yolo26_attention.detector.probe.passes import (
    check_evaluation,
    check_lone_image,
    check_on,
    check_surroundings,
    check_training,
)
from yolo26_attention.detector.probe.sharing import check_shared, check_ties
from yolo26_attention.detector.probe.state import check_copies, check_modes, check_parts

__all__ = ["Candidate", "UnfitError", "Use", "check_lone_image", "check_modes", "check_shared", "check_ties", "probe"]


def probe(candidate: Candidate, use: Use) -> None:
    """Try a module in every way in which a run uses it, on copies, without changing it.

    Raises an error for anything that would stop a training after an epoch or at its end, or that would make the
    trained, averaged, saved or deployed module differ from the written one.

    Raises:
        UnfitError: with the user's file and line, and the way out.
    """
    with own_generator("probe"), kept_settings():
        before = surroundings()
        check_parts(candidate)
        candidate = replace(candidate, module=check_copies(candidate, candidate.module, ""))
        check_evaluation(candidate)
        trained = check_training(candidate)
        check_surroundings(candidate, before)
        trained = check_copies(candidate, trained, " after a pass in training mode")
        check_state(candidate, trained)
        check_fusing(candidate, trained)
        if use.device != "cpu":
            check_on(candidate, use.device, use.amp)
        if use.runtime is not None:
            check_export(candidate, trained, use.runtime)
