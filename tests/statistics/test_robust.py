"""The rule that picks the error, and its error rates."""

import numpy as np
import pytest

from tests.statistics.test_blocks import NAMES, study
from yolo26_attention.statistics import compare
from yolo26_attention.statistics.designs import Design, block_p, fit, project
from yolo26_attention.statistics.robust import calibrate, judge, paired

STUDIES = 4000


def simulated(counts, doubled=None, effect=0.0, seed_effect=0.0, studies=STUDIES):
    """Share of studies with any verdict, and with one on variant 1."""
    design, generator = Design.of(counts), np.random.default_rng(7)
    groups = np.array(design.groups)
    scores = generator.standard_normal((studies, len(groups))) * np.where(groups == doubled, 2, 1)
    scores += effect * (groups == 1) + seed_effect * generator.standard_normal((studies, max(counts)))[:, design.seeds]
    significant = judge(design, scores).p < 0.05
    return significant.any(axis=1).mean(), significant[:, 0].mean()


@pytest.mark.parametrize("counts", [(3, 3), (3,) * 5, (6, 3, 3, 3, 3), (5,) * 5])
@pytest.mark.parametrize("seed_effect", [0, 2])
def test_false_verdicts(counts, seed_effect):
    """0.06 and 0.08 plus two standard errors of the simulation."""
    assert simulated(counts, seed_effect=seed_effect)[0] <= 0.06 + 0.0075
    assert simulated(counts, doubled=0, seed_effect=seed_effect)[0] <= 0.08 + 0.0086
    assert simulated(counts, doubled=1, seed_effect=seed_effect)[0] <= 0.08 + 0.0086


KEPT = [run for run in range(16) if run not in (1, 6, 11)]
WHOLE = Design.of((4,) * 4)
MISSING = Design(tuple(WHOLE.groups[run] for run in KEPT), tuple(WHOLE.seeds[run] for run in KEPT))


@pytest.mark.parametrize("design", [Design.of((3,) * 4, pairs=True), MISSING], ids=["pairs", "missing-runs"])
def test_false_verdicts_of_other_designs(design):
    scores = np.random.default_rng(3).standard_normal((STUDIES, len(design.groups)))
    for doubled, limit in [(None, 0.06), (0, 0.08)]:
        judged = judge(design, scores * np.where(np.array(design.groups) == doubled, 2, 1))
        assert (judged.p < 0.05).any(axis=1).mean() <= limit + 0.0086


def test_another_level_is_held():
    design = Design.of((3,) * 4)
    scores = np.random.default_rng(4).standard_normal((STUDIES, 12))
    assert (judge(design, scores, 0.8).p < 0.2).any(axis=1).mean() == pytest.approx(0.2, abs=0.03)


def test_power():
    assert simulated((3,) * 5, effect=3)[1] > 0.67
    assert simulated((6, 3, 3, 3, 3), effect=3)[1] > 0.85


def test_one_shared_error_does_not_bear_a_doubled_spread_of_the_baseline():
    """The robust form is there for a reason: 0.12 for three seeds each, four variants."""
    calibration = calibrate(Design.of((3,) * 5), 0.95)
    assert not calibration.shared_holds
    assert 0.10 < calibration.false_doubled < 0.13
    assert calibration.false_equal < 0.065


def test_arrays_are_judged_as_studies_are():
    design = Design.of((4, 3, 3, 3, 3))
    for seed in range(5):
        scores = study((4, 3, 3, 3, 3), (0, 3, 1, 0, -4), seed=seed, seed_effect=seed)
        model = compare(scores, "baseline")
        judged = judge(
            design, np.array([[scores[NAMES[g]][s] for g, s in zip(design.groups, design.seeds, strict=True)]])
        )
        assert model.blocks == judged.blocks[0]
        assert (model.form == "robust") == judged.robust[0]
        assert [c.difference for c in model.comparisons] == pytest.approx(judged.difference[0])
        assert [c.se for c in model.comparisons] == pytest.approx(judged.se[0])
        assert [c.p_adjusted for c in model.comparisons] == pytest.approx(judged.p[0], rel=5e-3)


@pytest.mark.parametrize("blocked", [False, True])
def test_own_spreads_are_estimated_without_bias(blocked):
    design = Design.of((6, 4, 5, 6))
    spreads = np.array([3.0, 1.0, 2.0, 1.0])
    projection = project(design, blocked)
    scores = np.random.default_rng(0).standard_normal((20_000, len(design.groups))) * spreads[list(design.groups)]
    squares = ((scores @ projection.residual) ** 2 @ projection.membership).mean(axis=0)
    assert projection.unmix @ squares == pytest.approx(spreads**2, rel=0.06)


def test_the_baselines_own_spread_counts_where_it_is_larger():
    design = Design.of((4, 4, 4))
    scores = np.random.default_rng(0).standard_normal((200, 12))
    quiet = fit(design, project(design, False), scores * np.repeat([0.1, 1, 1], 4))
    loud = fit(design, project(design, False), scores * np.repeat([5, 1, 1], 4))
    assert (loud.robust.mean(axis=0) > 1.05 * loud.shared.mean(axis=0)).all()
    assert quiet.robust.mean(axis=0) == pytest.approx(quiet.shared.mean(axis=0), rel=0.05)


def test_block_test_holds_its_level_and_sees_blocks():
    design = Design.of((6, 3, 3, 3))
    generator = np.random.default_rng(1)
    scores = generator.standard_normal((5000, 15))
    assert (block_p(design, scores) < 0.1).mean() == pytest.approx(0.1, abs=0.013)
    # The baseline's own three seeds have a large spread, which is no effect of the seeds.
    own = np.array([g == 0 and s >= 3 for g, s in zip(design.groups, design.seeds, strict=True)])
    assert (block_p(design, scores * np.where(own, 9, 1)) < 0.1).mean() == pytest.approx(0.1, abs=0.013)
    assert (block_p(design, scores + 5 * generator.standard_normal((5000, 6))[:, design.seeds]) < 0.1).mean() > 0.9


def test_paired_needs_the_very_seeds():
    assert paired(Design((0, 0, 1, 1), (0, 1, 1, 0)))
    assert not paired(Design((0, 0, 1, 1), (0, 1, 1, 2)))
    assert not paired(Design.of((2, 2, 2)))


def test_what_leaves_no_error_is_refused():
    with pytest.raises(ValueError, match="two seeds each"):
        calibrate(Design.of((1, 1, 1)), 0.95)
