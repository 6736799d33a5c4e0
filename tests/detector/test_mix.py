"""Several attention modules in one network: each is as it would be alone, and nothing else changes."""

import copy
import io

import pytest
import torch

from yolo26_attention.attention.options import resolve_options
from yolo26_attention.detector.freezing import frozen_paths
from yolo26_attention.detector.grafted import (
    graft_of,
    graft_parts,
    grafted_attention,
    grafted_scalars,
    joined,
    placebo_matches,
)
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.mix import read_mix
from yolo26_attention.detector.same_graft import graft_difference, load_graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.yolo import grafted_yolo


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return build_stock("yolo26n", classes=10, channels=3)


@pytest.fixture
def build(original):
    """A copy of one stock network with some grafts, given as (name, site) or (name, site, settings)."""

    def built(*wanted, seed=0):
        model = copy.deepcopy(original)
        graft(model, *(spec(*one, seed=seed) for one in wanted))
        return model

    return built


def spec(name, site, settings=None, seed=0):
    settings = dict(settings or {})
    options = settings.pop("options", {})
    return Graft(*resolve_options(name, options), (site,), seed, **settings)


def output(model, x):
    with torch.no_grad():
        return model.eval()(x)[0]


def same_values(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_stock_tensors_keep_name_and_value_under_every_graft(build, original):
    model = build(("acmix", "p3"), ("cbam", "p5"), ("se", "c2psa"), ("simam", "c2psa"))
    before, after = original.state_dict(), model.state_dict()
    assert len(before) == 708
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_attention_elsewhere_changes_no_initial_value(build):
    alone = grafted_attention(build(("acmix", "p3")))["p3"]
    assert same_values(grafted_attention(build(("acmix", "p3"), ("cbam", "p5")))["p3"], alone)
    assert same_values(grafted_attention(build(("cbam", "p5"), ("acmix", "p3")))["p3"], alone)
    assert same_values(grafted_attention(build(("acmix", "p3"), ("cbam", "p3")))["p3/acmix"], alone)


def test_two_of_a_kind_at_one_site_start_from_different_values(build):
    first, second = grafted_attention(build(("acmix", "p3"), ("acmix", "p3"))).values()
    assert not torch.equal(first.conv1.weight, second.conv1.weight)


def test_one_graft_over_sites_equals_one_graft_per_site(build):
    assert same_values(build(("acmix", "neck")), build(*(("acmix", site) for site in ("p4", "p3", "p5"))))


def test_attention_in_a_list_joins_in_that_order(build):
    model = build(("se", "p3"), ("cbam", "p3"))
    se, cbam = grafted_attention(model).values()
    block = model.eval().model[16]
    x = torch.rand(1, 256, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(x), cbam(se(block.forward(x))))
        assert not torch.equal(block(x), se(cbam(block.forward(x))))


def test_the_order_of_sites_does_not_change_the_network(build):
    x = torch.rand(1, 3, 64, 96)
    first, second = build(("acmix", "p3"), ("cbam", "p5")), build(("cbam", "p5"), ("acmix", "p3"))
    assert list(grafted_attention(first)) == list(grafted_attention(second)) == ["p3", "p5"]
    assert torch.equal(output(first, x), output(second, x))


def test_places_scalars_and_parts_are_named_by_site_and_mechanism(build):
    model = build(
        ("acmix", "p3", {"gate": "zero"}),
        ("se", "p3"),
        ("se", "p3"),
        ("acmix", "p5", {"options": {"kernel_att": 5}}),
    )
    assert list(grafted_attention(model)) == ["p3/acmix", "p3/se", "p3/se_2", "p5"]
    rates = {f"{place}/{rate}": 0.5 for place in ("p3/acmix", "p5") for rate in ("rate1", "rate2")}
    assert grafted_scalars(model) == {**rates, "p3/acmix/gate": 0.0}
    paths = [*(f"model.16.attention.{index}" for index in range(3)), "model.22.attention"]
    assert list(graft_parts(model)) == paths
    assert all(model.get_submodule(path) is part for path, part in graft_parts(model).items())
    assert grafted_attention(model)["p5"].kernel_att == 5


@pytest.mark.parametrize(
    ("mode", "site", "places", "kept"),
    [
        pytest.param("replace", "p4", ["p4/acmix", "p4/cbam"], 654, id="replace"),
        pytest.param("bottleneck", "p5", ["p5/m.0.0.cv1", "p5/m.0.0.cv2", "p5"], 706, id="bottleneck"),
    ],
)
def test_attention_follows_one_that_removes_a_part_of_the_block(mode, site, places, kept, build, original):
    model = build(("acmix", site, {"mode": mode}), ("cbam", site, {"gate": "zero"}))
    assert list(grafted_attention(model)) == places
    assert len(set(original.state_dict()) & set(model.state_dict())) == kept
    assert all(module is model.get_submodule(path) for path, module in graft_parts(model).items())
    # With a gate of zero the second one adds nothing at the start.
    alone = build(("acmix", site, {"mode": mode}))
    x = torch.rand(1, 3, 64, 96)
    assert torch.equal(output(model, x), output(alone, x))
    with torch.no_grad():
        grafted_attention(model)[places[-1]].gate.fill_(1)
    assert not torch.equal(output(model, x), output(alone, x))


@pytest.mark.parametrize("mode", ["replace", "bottleneck"])
def test_one_that_removes_a_part_of_the_block_must_be_first(mode, build, original):
    with pytest.raises(ValueError, match=rf"mode={mode} at site p5 would remove .* that se has .*put acmix first"):
        build(("se", "p5"), ("acmix", "p5", {"mode": mode}))


def test_appending_to_a_replacement_without_parameters(build):
    model = build(("simam", "sppf", {"mode": "replace"}), ("se", "sppf", {"gate": "zero"}))
    graft(model, spec("cbam", "sppf"))
    assert list(grafted_attention(model)) == ["sppf/simam", "sppf/se", "sppf/cbam"]
    assert output(model, torch.rand(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param([("acmix", "p3"), ("se", "p3"), ("cbam", "p5")], id="append"),
        pytest.param([("acmix", "p4", {"mode": "replace"}), ("se", "p4")], id="replace-and-append"),
        pytest.param([("se", "p5", {"mode": "bottleneck"}), ("eca", "p5")], id="bottleneck-and-append"),
    ],
)
def test_a_mix_survives_pickling_copying_halving_and_fusing(wanted, build):
    model, x = build(*wanted), torch.rand(1, 3, 96, 160)
    expected = output(model, x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert torch.equal(output(loaded, x), expected)
    assert graft_of(loaded) == graft_of(model)
    assert list(grafted_attention(loaded)) == list(grafted_attention(model))
    assert torch.equal(output(copy.deepcopy(model), x), expected)
    assert output(copy.deepcopy(model).half(), x.half()).dtype == torch.float16
    torch.testing.assert_close(output(model.fuse(verbose=False), x), expected, rtol=1e-3, atol=1e-2)


def test_freezing_the_stock_network_freezes_no_graft(build):
    model = build(("acmix", "p3"), ("se", "p3"), ("cbam", "p5", {"mode": "replace"}))
    prefixes = tuple(f"model.{path}." for path in frozen_paths(model, "stock"))
    learning = {name for name, _ in model.named_parameters() if not name.startswith(prefixes)}
    own = tuple(f"{path}." for path in graft_parts(model))
    assert learning == {name for name, _ in model.named_parameters() if name.startswith(own)}
    assert len(own) == 4  # cbam has a projection


def test_a_grafted_network_takes_a_second_graft_and_keeps_the_first(build):
    model, x = build(("acmix", "p3")), torch.rand(1, 3, 64, 96)
    before, first = output(model, x), grafted_attention(model)["p3"]
    graft(model, spec("se", "p3", {"gate": "zero"}), spec("cbam", "p5", {"gate": "zero"}))
    assert list(grafted_attention(model)) == ["p3/acmix", "p3/se", "p5"]
    assert grafted_attention(model)["p3/acmix"] is first
    assert torch.equal(output(model, x), before)
    assert graft_of(model) == graft_of(
        build(("acmix", "p3"), ("se", "p3", {"gate": "zero"}), ("cbam", "p5", {"gate": "zero"}))
    )


def test_a_checkpoint_fills_its_attention_in_a_larger_mix(build):
    weights = build(("acmix", "p3"), ("cbam", "p5", {"mode": "replace"}), seed=5)
    model = build(("acmix", "p3"), ("se", "p3"), ("cbam", "p5", {"mode": "replace"}), ("simam", "p4"))
    untouched = copy.deepcopy(grafted_attention(model)["p3/se"])
    loaded = load_graft(model, weights)
    assert same_values(grafted_attention(model)["p3/acmix"], grafted_attention(weights)["p3"])
    for ours, theirs in zip(joined(model)[-1].parts().values(), joined(weights)[-1].parts().values(), strict=True):
        assert same_values(ours, theirs)
    assert same_values(grafted_attention(model)["p3/se"], untouched)
    assert {name.split(".")[1] for name in loaded} == {"16", "22"}
    assert all(name in model.state_dict() for name in loaded)


def test_an_attention_of_a_mix_is_not_lost(build):
    weights = build(("acmix", "p3"), ("cbam", "p5"))
    assert "cbam at p5, but this run has no attention there" in graft_difference(build(("acmix", "p3")), weights)
    other = build(("acmix", "p3"), ("cbam", "p5", {"options": {"kernel_att": 5}}))
    assert "cbam at p5 with attention.kernel_att=7, but this run has" in graft_difference(other, weights)
    assert graft_difference(build(("cbam", "p5"), ("acmix", "p3")), weights) is None


def test_a_mix_from_python():
    mix = {
        "p3": {"name": "acmix", "kernel_att": 5},
        "c2psa": ["se", "simam"],
        "p5": {"name": "cbam", "mode": "replace"},
    }
    model = grafted_yolo("yolo26n.yaml", mix, gate="none").model
    assert list(grafted_attention(model)) == ["c2psa/se", "c2psa/simam", "p3", "p5"]
    assert grafted_attention(model)["p3"].kernel_att == 5
    assert {one.name: one.mode for one in graft_of(model)}["cbam"] == "replace"


def test_a_placebo_per_site():
    mix = {
        "p3": {"name": "placebo", "matches": "acmix", "options": {"kernel_att": 5}},
        "p5": {"name": "placebo", "matches": "cbam", "shortcut": False},
        "p4": "se",
    }
    model = grafted_yolo("yolo26n.yaml", mix).model
    matches = placebo_matches(model)
    assert list(matches) == ["p3", "p5"]
    alone = {site: grafted_yolo("yolo26n.yaml", name, [site]).model for site, name in (("p3", "acmix"), ("p5", "cbam"))}
    for site, match in matches.items():
        wanted = sum(p.numel() for p in grafted_attention(alone[site])[site].parameters())
        assert match["wanted"] == pytest.approx(wanted, rel=0.05)
        assert abs(match["mismatch"]) <= 0.02
    assert grafted_attention(model)["p5"].shortcut is False


def test_an_option_with_the_name_of_the_placement_s_goes_into_options():
    mix = {"p3": {"name": "se", "gate": "zero", "options": {"gate": "hard_sigmoid"}}}
    (one,) = graft_of(grafted_yolo("yolo26n.yaml", mix).model)
    assert (one.gate, one.options["gate"]) == ("zero", "hard_sigmoid")


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        pytest.param({}, r"attention.grafts=\{\} names no attention; write", id="empty"),
        pytest.param(["acmix"], r"attention.grafts=\['acmix'\] names no attention; write", id="no-mapping"),
        pytest.param({"p3": []}, r"attention.grafts.p3=\[\] names no attention; leave the site out", id="empty-list"),
        pytest.param({"p3": {"heads": 4}}, r"attention.grafts.p3=.*heads.* names no attention", id="no-name"),
        pytest.param({"p3": {"name": "placebo"}}, r"p3: placebo needs what it matches", id="placebo"),
        pytest.param({"p3": {"name": "se", "options": 3}}, r"p3: options=3 is not a set of options", id="options"),
    ],
)
def test_a_mix_that_cannot_be_read_is_refused(mix, message):
    with pytest.raises(ValueError, match=message):
        read_mix(mix)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        pytest.param({"p9": "se"}, r"attention.grafts.p9: no site 'p9' here; it has", id="site"),
        pytest.param({"p3": "acmx"}, r"attention.grafts.p3: acmx is not an attention; choose one of", id="mechanism"),
        pytest.param({"p3": "baseline"}, r"attention.grafts.p3=baseline is no attention; leave", id="baseline"),
        pytest.param(
            {"p3": "se", "p5": {"name": "cbam", "heads": 4}},
            r"attention.grafts.p5: cbam has no option heads; it has",
            id="option",
        ),
        pytest.param(
            {"p3": {"name": "acmix", "heads": 5}}, r"attention.grafts.p3: acmix: attention at site p3: .*5", id="value"
        ),
        pytest.param(
            {"p3": {"name": "se", "mode": "prepend"}},
            r"attention.grafts.p3: se: mode=prepend is unknown; choose one of append",
            id="mode",
        ),
        pytest.param(
            {"p3": {"name": "se", "gate": "sigmoid"}},
            r"se: gate=sigmoid is unknown; .* or write options: \{gate: sigmoid\} for an option of se",
            id="gate",
        ),
        pytest.param(
            {"p3": {"name": "se", "gate": "zero", "mode": "replace"}},
            r"se: gate=zero blends .* but mode=replace removes the block; use mode=append",
            id="gate-of-replacement",
        ),
        pytest.param(
            {"sppf": {"name": "se", "mode": "bottleneck"}}, r"se: mode=bottleneck: site sppf has no", id="bottleneck"
        ),
        pytest.param(
            {"neck": "acmix", "p3": "cbam"},
            r"attention.grafts.p3: cbam: site p3 is also in attention.grafts.neck; .*\[acmix, cbam\]",
            id="two-keys",
        ),
        pytest.param({"p3": ["se", {"name": "sk", "mode": "replace"}]}, r"sk: mode=replace at site p3", id="order"),
        pytest.param({"p3": "no.such.Thing"}, r"attention.grafts.p3: Thing: .* cannot be imported", id="class"),
    ],
)
def test_a_mix_is_refused_with_site_mechanism_and_option(mix, message):
    with pytest.raises(ValueError, match=message):
        grafted_yolo("yolo26n.yaml", mix)
