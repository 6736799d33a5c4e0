"""A mix on the command line: identity, resolved configuration and refusals."""

import pytest
import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.plan.checks import check


@pytest.fixture
def mixed(tiny):
    return lambda grafts, *overrides: check(tiny("attention=mix", f"attention.grafts={{{grafts}}}", *overrides))


def test_a_mix_of_one_attention_is_the_run_of_that_attention(mixed, tiny):
    alone = check(tiny("attention=acmix", "attention.kernel_att=5", "placement=p3"))
    plan = mixed("p3: {name: acmix, kernel_att: 5}")
    assert (plan.run_id, plan.folder) == (alone.run_id, alone.folder)
    assert plan.config == alone.config
    assert plan.given.attention["name"] == "mix"
    assert mixed("p5: se, p3: se, p4: se").run_id == check(tiny("attention=se", "placement=neck")).run_id


def test_the_order_of_sites_is_not_in_the_identity_but_that_of_a_list_is(mixed):
    first = mixed("p3: [se, simam], p5: acmix")
    assert mixed("p5: acmix, p3: [se, simam]").run_id == first.run_id
    assert mixed("p3: [simam, se], p5: acmix").run_id != first.run_id
    assert list(mixed("p5: acmix, p3: [se, simam]").config.attention["grafts"]) == ["p3", "p5"]


@pytest.mark.parametrize(
    "other",
    [
        "p3: {name: acmix, kernel_att: 5}, p5: cbam",
        "p3: {name: acmix, gate: zero}, p5: cbam",
        "p3: acmix, p5: {name: cbam, mode: replace}",
        "p3: acmix, p4: cbam",
        "p3: acmix, p5: {name: placebo, matches: cbam}",
        "p3: acmix, p5: {name: placebo, matches: cbam, by: flops}",
    ],
)
def test_what_changes_the_network_changes_the_identity(other, mixed):
    assert mixed(other).run_id != mixed("p3: acmix, p5: cbam").run_id


def test_defaults_written_out_are_the_same_run(mixed):
    first = mixed("p3: acmix, p5: {name: placebo, matches: cbam}")
    spelled = "p3: {name: acmix, heads: 4, mode: append}, p5: {name: placebo, matches: cbam, options: {kernel_att: 7}}"
    assert mixed(spelled).run_id == first.run_id
    assert mixed("p3: acmix, p5: {name: placebo, matches: cbam}", "placement.gate=none").run_id == first.run_id


def test_the_placement_s_mode_and_gate_hold_for_those_without_their_own(mixed):
    plan = mixed("p3: acmix, p5: {name: cbam, gate: none}", "placement.gate=zero")
    assert [(one.sites, one.gate) for one in plan.grafts] == [(("p3",), "zero"), (("p5",), "none")]


def test_the_resolved_configuration_gives_the_same_network_again(mixed, tiny):
    plan = mixed("p3: [{name: acmix, kernel_att: 5}, se], p5: {name: placebo, matches: cbam}", "seed=3")
    again = check(plan.config.__class__(**{**vars(tiny("seed=3")), "attention": plan.config.attention}))
    assert again.run_id == plan.run_id
    torch.manual_seed(0)
    first, second = (build_stock("yolo26n", 10, 3) for _ in range(2))
    graft(first, *plan.grafts)
    graft(second, *again.grafts)
    ours, theirs = first.state_dict(), second.state_dict()
    own = [name for name in ours if ".attention." in name]
    assert own
    assert all(torch.equal(ours[name], theirs[name]) for name in own)


def test_the_name_of_the_folder_says_what_is_where(mixed):
    assert mixed("p5: cbam, p3: [acmix, se]").folder.name.startswith("mix-p3_acmix_se+p5_cbam-yolo26n-digits-s0-")
    long = ", ".join(f"{site}: [acmix, neighbourhood, attention2d]" for site in ("p3", "p4", "p5"))
    assert mixed(long).folder.name.startswith("mix-3_sites-yolo26n")


@pytest.mark.parametrize(
    ("grafts", "overrides", "message"),
    [
        ("", [], r"attention.grafts=.* names no attention; write attention.grafts=\{p3: acmix"),
        ("p3: acmx", [], r"attention.grafts.p3: acmx is not an attention; choose one of"),
        ("p3: se, p5: {name: cbam, heads: 4}", [], r"attention.grafts.p5: cbam has no option heads; it has"),
        ("p3: se, p9: acmix", [], r"attention.grafts.p9: no site 'p9' here; it has"),
        ("p3: {name: acmix, heads: 5}", [], r"attention.grafts.p3: acmix: attention at site p3: .*5"),
        ("p3: {name: se, mode: prepend}", [], r"attention.grafts.p3: se: mode=prepend is unknown"),
        ("p3: {name: placebo, matches: cbm}", [], r"attention.grafts.p3: placebo: placebo.matches=cbm: .* not an"),
        ("p3: {name: placebo, matches: cbam, by: size}", [], r"attention.grafts.p3: .*size"),
        (
            "p3: {name: se, _target_: yolo26_attention.attention.simam.SimAM}",
            [],
            r"attention.grafts.p3: se: .*means another class",
        ),
        ("p3: os.system", [], r"attention.grafts.p3: system: attention._target_=os.system is not part"),
        ("p3: se", ["placement=p5"], r"placement.sites=\[p5\] has no effect on attention=mix"),
    ],
)
def test_refused_before_training(grafts, overrides, message, mixed):
    with pytest.raises(ConfigError, match=message):
        mixed(grafts, *overrides)


def test_an_attention_of_the_user_is_found_by_name_and_by_path(mixed, monkeypatch, tmp_path):
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "damped.yaml").write_text("name: damped\n_target_: mix_damped.Damped\nfactor: 0.5\n")
    (tmp_path / "mix_damped.py").write_text(
        "from torch import nn\nclass Damped(nn.Module):\n    def __init__(self, channels, factor=1.0):\n"
        "        super().__init__()\n        self.factor = factor\n"
        "        self.mix = nn.Conv2d(channels, channels, 1)\n"
        "    def forward(self, x):\n        return x + self.factor * self.mix(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("yolo26_attention.plan.checks.own_folders", lambda: [str(tmp_path)])
    (tmp_path / "attention" / "extended.yaml").write_text("defaults: [damped]\nname: extended\n")
    (tmp_path / "attention" / "list.yaml").write_text("[1]\n")
    with pytest.raises(ConfigError, match=r"attention.grafts.p3: \S+extended.yaml has a defaults list"):
        mixed("p3: extended")
    with pytest.raises(ConfigError, match=r"attention.grafts.p3: \S+list.yaml is not a set of options"):
        mixed("p3: list")
    plan = mixed("p3: {name: damped, factor: 0.2}, p5: mix_damped.Damped, p4: damped")
    assert [(one.name, dict(one.options)) for one in plan.grafts] == [
        ("damped", {"factor": 0.2}),
        ("Damped", {}),
        ("damped", {"factor": 0.5}),
    ]
    entries = [entry for entries in plan.config.attention["grafts"].values() for entry in entries]
    assert all(entry["source"] for entry in entries)
