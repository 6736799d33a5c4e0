"""Which variant is the placebo of which, from their configurations."""

import pytest

from tests.fabricate import config_of
from yolo26_attention.plan.attention_names import placebos

BASELINE, PLACEBO, ACMIX = config_of({"name": "baseline"}, 0), config_of({"name": "placebo"}, 0), {"name": "acmix"}


def found(baselines=None, **variants):
    """The placebos among a baseline and some variants, all compared with the baseline unless said otherwise."""
    configs = {"baseline": BASELINE, **variants}
    return placebos(configs, {**dict.fromkeys(configs, "baseline"), **(baselines or {})})


def test_each_attention_has_the_placebo_of_its_own_training():
    trained = {"optimizer__attention__lr_factor": 2.0}
    assert found(
        acmix=config_of(ACMIX, 0),
        placebo=PLACEBO,
        faster=config_of(ACMIX, 1, **trained),
        faster_placebo=config_of({"name": "placebo"}, 2, **trained),
    ) == {"acmix": "placebo", "faster": "faster_placebo"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"trainer__epochs": 24}, id="training"),
        pytest.param({"placement__sites": ["p3"]}, id="sites"),
        pytest.param({"placement__gate": "zero"}, id="gate"),
        pytest.param({"placebo__options": {"kernel_att": 5}}, id="options"),
        pytest.param({"placebo__matches": "cbam"}, id="attention"),
    ],
)
def test_what_differs_otherwise_is_no_placebo(changes):
    assert found(acmix=config_of(ACMIX, 0), placebo=config_of({"name": "placebo"}, 0, **changes)) == {}


def test_several_variants_share_a_placebo_that_matches_them():
    explicit = config_of({"name": "acmix", "kernel_att": 7}, 0)
    assert found(acmix=config_of(ACMIX, 0), explicit=explicit, placebo=PLACEBO) == {
        "acmix": "placebo",
        "explicit": "placebo",
    }


def test_of_two_placebos_none_is_chosen():
    by_flops = config_of({"name": "placebo"}, 0, placebo__by="flops")
    assert found(acmix=config_of(ACMIX, 0), placebo=PLACEBO, by_flops=by_flops) == {}


@pytest.mark.parametrize(
    "baselines",
    [
        pytest.param({"placebo": "another"}, id="of_another_baseline"),
        pytest.param({"acmix": "placebo", "placebo": "placebo"}, id="itself_the_baseline"),
        pytest.param({"cbam": "placebo"}, id="a_baseline_of_others"),
        pytest.param({"acmix": None, "placebo": None}, id="not_known"),
    ],
)
def test_a_placebo_has_the_baseline_of_the_variant_and_is_none(baselines):
    cbam = config_of({"name": "cbam"}, 0)
    assert found(baselines, acmix=config_of(ACMIX, 0), placebo=PLACEBO, cbam=cbam) == {}


@pytest.mark.parametrize(("other", "placebo"), [("baseline", {}), ("another", {"acmix": "placebo"})])
def test_there_is_none_while_a_variant_of_the_same_baseline_is_unknown(other, placebo):
    assert found({"later": other}, acmix=config_of(ACMIX, 0), placebo=PLACEBO) == placebo
