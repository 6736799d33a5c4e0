"""Effects of components and their interactions."""

from itertools import combinations

import numpy as np
import pytest

from yolo26_attention.statistics import compare, interactions, main_effects
from yolo26_attention.statistics.estimation import estimate, runs_of
from yolo26_attention.statistics.factors import _contrast

COMPONENTS = ("acmix", "cbam", "mosaic")


def subsets(components):
    return [set(part) for size in range(len(components) + 1) for part in combinations(components, size)]


def label(own):
    return "+".join(sorted(own)) or "baseline"


def study(variants, effect, seeds=3, seed=0, noise=1.0, blocks=0.0):
    """Scores of variants, each a set of components, whose mean is `effect(components)`."""
    generator = np.random.default_rng(seed)
    own = blocks * generator.standard_normal(seeds)
    scores = {
        label(variant): {s: effect(variant) + own[s] + noise * generator.standard_normal() for s in range(seeds)}
        for variant in variants
    }
    return scores, {label(variant): sorted(variant) for variant in variants}


def additive(own):
    return 2.0 * ("acmix" in own) - 1.0 * ("cbam" in own)


@pytest.mark.parametrize("blocks", [0, 5])
def test_a_full_design_gives_the_textbook_effects(blocks):
    """Least squares with columns of -1/2 and +1/2 for the components, and all products, for a saturated model."""
    scores, components = study(subsets(COMPONENTS), additive, seeds=5, blocks=blocks)
    rows, y = [], []
    for name, own in scores.items():
        for s, value in own.items():
            x = [0.5 if each in components[name] else -0.5 for each in COMPONENTS]
            products = [np.prod([2 * x[i] for i in part]) / 2 for n in (2, 3) for part in combinations(range(3), n)]
            rows.append([1, *x, *products, *((s == other for other in (1, 2, 3, 4)) if blocks else ())])
            y.append(value)
    X, y = np.array(rows, dtype=float), np.array(y)
    beta, *_ = np.linalg.lstsq(X, y, rcond=None)
    df = len(y) - np.linalg.matrix_rank(X)
    se = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * ((y - X @ beta) ** 2).sum() / df)
    main, both = main_effects(scores, components), interactions(scores, components)
    assert [e.effect for e in main.estimates] == pytest.approx(beta[1:4])
    assert [e.effect for e in both.estimates] == pytest.approx(2 * beta[4:7])
    assert main.reason.startswith("shared error")
    assert [e.se for e in main.estimates] == pytest.approx(se[1:4])
    assert [e.se for e in both.estimates] == pytest.approx(2 * se[4:7])
    assert {e.df for e in main.estimates} == {df}
    assert [e.pairs for e in main.estimates] == [4, 4, 4]
    assert [e.pairs for e in both.estimates] == [2, 2, 2]


def test_components_each_alone_are_compared_with_the_baseline():
    scores, components = study([set(), *({each} for each in COMPONENTS)], additive)
    model = compare(scores, "baseline")
    effects = main_effects(scores, components).estimates
    assert [e.components for e in effects] == [("acmix",), ("cbam",), ("mosaic",)]
    assert [e.effect for e in effects] == pytest.approx([c.difference for c in model.comparisons])


def test_leaving_one_out_compares_with_all_of_them():
    everything = set(COMPONENTS)
    scores, components = study([set(), everything, *(everything - {each} for each in COMPONENTS)], additive)
    means = {name: np.mean(list(own.values())) for name, own in scores.items()}
    for found in main_effects(scores, components).estimates:
        (left,) = found.components
        assert found.effect == pytest.approx(means[label(everything)] - means[label(everything - {left})])
        assert found.pairs == 1


def test_what_no_two_variants_show_by_themselves_has_no_estimate():
    variants = [set(), {"acmix"}, {"acmix", "cbam", "mosaic"}]
    scores, components = study(variants, additive)
    main = main_effects(scores, components)
    assert [e.components for e in main.estimates] == [("acmix",)]
    assert interactions(scores, components).estimates == ()


def test_an_interaction_is_how_much_more_one_gives_where_the_other_is():
    scores, components = study(subsets(COMPONENTS), lambda own: 3.0 * ({"acmix", "cbam"} <= own), noise=0.01)
    found = {e.name: e for e in interactions(scores, components).estimates}
    assert found["acmix × cbam"].effect == pytest.approx(3, abs=0.05)
    assert found["acmix × cbam"].p_adjusted < 0.001
    assert found["acmix × mosaic"].effect == pytest.approx(0, abs=0.05)
    # On average over the other components, half of what both add together is each one's.
    assert main_effects(scores, components).estimates[0].effect == pytest.approx(1.5, abs=0.05)


def test_missing_runs_are_no_obstacle():
    scores, components = study(subsets(COMPONENTS), additive, seeds=4, noise=0.1)
    del scores["acmix"][2], scores["cbam"][0]
    scores["baseline"][3] = float("nan")
    assert main_effects(scores, components).estimates[0].effect == pytest.approx(2, abs=0.3)


def test_two_variants_with_the_same_components_are_refused():
    scores, _ = study(subsets(("acmix",)), additive)
    with pytest.raises(ValueError, match="the same components"):
        main_effects(scores, {"baseline": (), "acmix": ()})


def test_a_variant_without_named_components_is_refused():
    scores, components = study(subsets(("acmix", "cbam")), additive)
    del components["cbam"]
    with pytest.raises(ValueError, match="'cbam' has no components"):
        main_effects(scores, components)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_studies_without_effects_show_one_in_about_five_percent(seeds):
    """Of 1,500 studies each: a share above 0.07 has a probability below 0.001 if 0.05 holds."""
    for effects in (main_effects, interactions):
        false = 0
        for seed in range(1500):
            scores, components = study(subsets(COMPONENTS), lambda own: 0.0, seeds=seeds, seed=seed)
            false += any(e.p_adjusted < 0.05 for e in effects(scores, components).estimates)
        assert false / 1500 < 0.07


def test_a_full_design_needs_a_quarter_of_the_runs_for_the_same_error():
    """All eight variants serve every effect; each component alone has two."""
    full, components = study(subsets(COMPONENTS), additive, seeds=5)
    alone = {name: own for name, own in full.items() if len(components[name]) < 2}
    errors = {}
    for name, scores in (("full", full), ("alone", alone)):
        design, values = runs_of(scores, tuple(_weights(scores, components, each) for each in COMPONENTS))
        found = estimate(design, values, 0.95, "shared")
        errors[name] = found.se**2 / found.variance
    assert errors["full"] == pytest.approx(2 / 5 / 4)
    assert errors["alone"] == pytest.approx(2 / 5)


def _weights(scores, components, component):
    found = _contrast((component,), [frozenset(components[name]) for name in scores])
    return found[0]
