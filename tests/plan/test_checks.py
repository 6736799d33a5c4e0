"""What a configuration becomes, and what cannot be run; tests/errors.txt has the texts of what is refused."""

import importlib
import os
import re
import sys
from dataclasses import replace

import pytest
import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.config.run_config import OwnPlaceboConfig
from yolo26_attention.config.schema import PlaceboConfig, PlacementConfig
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.placebo_size import Match
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.record import Record
from yolo26_attention.plan.attention_options import resolve_placebo
from yolo26_attention.plan.checks import Checker, check


def test_latency_that_is_not_measured_is_not_refused(tiny):
    assert check(tiny("latency.backend=cuda_graph")).config.latency.enabled is False


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_read_only_output_dir(tiny, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be"):
        check(tiny(f"output_dir={tmp_path}"))


def test_weights_that_are_no_checkpoint(tiny, tmp_path):
    path = tmp_path / "letter.pt"
    path.write_text("not a checkpoint")
    with pytest.raises(ConfigError, match=r"letter.pt is not an Ultralytics checkpoint .* give a .pt file"):
        check(tiny(f"model.weights={path}"))


def test_weights_of_a_plain_state_dict(tiny, tmp_path):
    path = tmp_path / "tensors.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match=r"tensors.pt is not an Ultralytics checkpoint"):
        check(tiny(f"model.weights={path}"))


def test_official_weights_without_network(tiny, monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("yolo26_attention.detector.stock.attempt_download_asset", unreachable)
    monkeypatch.setattr("yolo26_attention.detector.stock.WEIGHTS_DIR", tmp_path)
    with pytest.raises(ConfigError, match=r"yolo26n.pt is neither here nor in .* put the file there"):
        check(tiny("model.weights=yolo26n.pt"))


def test_digits_option_beside_own_data(tiny):
    with pytest.raises(ConfigError, match=r"has no effect on data.yaml=my.yaml"):
        check(tiny("data.yaml=my.yaml", "data.seed=3"))


def test_own_data_set_is_the_one_that_is_trained_on(tiny, output_dir):
    digits = check(tiny()).dataset.yaml
    plan = check(tiny(f"data.yaml={digits}", "data.train_images=512", "data.val_images=128", "data.imgsz=160"))
    assert plan.dataset.yaml == digits
    assert plan.config.data.name == "data"


def test_sites_by_another_name_are_the_same_run(tiny):
    plan, same = check(tiny("placement=neck")), check(tiny("placement.sites=[p5,p3,p4,p3]"))
    assert plan.config.placement == PlacementConfig(["p3", "p4", "p5"])
    assert (same.run_id, same.folder) == (plan.run_id, plan.folder)


def test_mode_and_gate_are_other_runs_and_reach_the_graft(tiny):
    plans = [
        check(tiny("placement=p4", *overrides))
        for overrides in ((), ("placement.mode=replace",), ("placement.gate=zero",))
    ]
    assert len({plan.run_id for plan in plans}) == 3
    assert [(plan.grafts[0].mode, plan.grafts[0].gate) for plan in plans] == [
        ("append", "none"),
        ("replace", "none"),
        ("append", "zero"),
    ]


def test_one_baseline_serves_every_mode(tiny):
    plan, same = (check(tiny("attention=baseline", *more)) for more in ((), ("placement.mode=replace",)))
    assert same.run_id == plan.run_id


def test_placebos_of_other_things_are_other_runs(tiny):
    plans = [
        check(tiny("attention=placebo", "placement=p3", *more))
        for more in ((), ("placebo.matches=sasa",), ("placebo.by=flops",), ("placebo.options={kernel_conv: 5}",))
    ]
    assert len({plan.run_id for plan in plans}) == 4
    same = check(tiny("attention=placebo", "placement=p3", "placebo.options={kernel_conv: 3}"))
    assert same.run_id == plans[0].run_id, "options are complete, whichever of them were given"
    assert plans[1].folder.name.startswith("placebo_of_sasa-p3-")


def test_placebo_group_has_no_effect_on_other_attention(tiny):
    assert check(tiny("placebo.matches=sasa")).run_id == check(tiny()).run_id


def test_a_checker_gives_each_configuration_its_own_answer(tiny):
    checker = Checker()
    plans = [checker.check(tiny(*more)) for more in ((), ("seed=1",), ("placement=p3",), ("model=yolo26s",))]
    alone = [check(tiny(*more)) for more in ((), ("seed=1",), ("placement=p3",), ("model=yolo26s",))]
    assert [plan.folder for plan in plans] == [plan.folder for plan in alone]
    assert [plan.config for plan in plans] == [plan.config for plan in alone]
    assert plans[1].grafts[0].seed == 1


def test_a_checker_refuses_again_what_it_refused(tiny):
    checker = Checker()
    with pytest.raises(ConfigError, match=r"try 4 or 8"):
        checker.check(tiny("attention.heads=5"))
    with pytest.raises(ConfigError, match=r"try 4 or 8"):
        checker.check(tiny("attention.heads=5", "seed=1"))
    assert checker.check(tiny("attention.heads=4")).folder.name.startswith("acmix-p3")


LONE = ("data.train_images=17", "trainer.fraction=1.0")


def test_a_last_batch_of_one_image_is_known_beforehand(tiny):
    check(tiny("attention=sk"))
    check(tiny("attention=se", *LONE))
    message = (
        "SelectiveKernel cannot train on a batch of one image, and trainer.batch=4 leaves one of the 17 images for"
    )
    with pytest.raises(ConfigError, match=rf"attention at site p3: {message}"):
        check(tiny("attention=sk", *LONE))
    with pytest.raises(ConfigError, match=r"trainer.batch=1 makes batches of one image"):
        check(tiny("attention=sk", "trainer.batch=1"))


def test_a_last_batch_of_one_image_where_the_stock_network_takes_none(tiny):
    check(tiny("attention=baseline", *LONE))
    with pytest.raises(ConfigError, match=r"at 32 px the coarsest map is one pixel.* trainer.imgsz=64"):
        check(tiny("attention=baseline", "trainer.imgsz=32", *LONE))


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        ("1e-4", "trainer.fraction=0.0001 leaves one training image, and at 32 px"),
        ("5", "trainer.batch=4 leaves one of the 5 images that trainer.fraction=5 keeps for the last batch"),
    ],
)
def test_a_last_batch_of_one_image_names_the_fraction_that_makes_it(tiny, fraction, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(tiny("attention=baseline", "trainer.imgsz=32", f"trainer.fraction={fraction}"))


def test_every_validation_image_has_a_group(tiny, tmp_path):
    file = tmp_path / "groups.txt"
    names = [f"images/val/{number:05d}.bmp" for number in range(8)]
    file.write_text("".join(f"{name} {number % 3}\n" for number, name in enumerate(names)))
    check(tiny("attention=baseline", f"data.groups={file}"))
    check(tiny("attention=baseline", f"data.groups={as_override('(.*)')}"))
    with pytest.raises(ConfigError, match=r"says nothing about the image images/test/00000.bmp"):
        check(tiny("attention=baseline", f"data.groups={file}", "data.test_images=4"))
    file.write_text("my photo.bmp\n")
    message = rf"^data.groups={file} says nothing about the image {names[0]}; every image needs a group, named as in "
    with pytest.raises(ConfigError, match=message):
        check(tiny("attention=baseline", f"data.groups={file}"))
    with pytest.raises(ConfigError, match=r"says nothing about the image images/val/00000.bmp"):
        check(tiny("attention=baseline", f"data.groups={as_override('train/(.*)')}"))


@pytest.mark.parametrize("key", ["placement.sites", "objectives", "tracking.tags", "latency.throughput_batches"])
def test_a_list_option_refuses_an_interpolation_of_something_else(tiny, key):
    with pytest.raises(ConfigError, match=re.escape(f"{key}=${{seed}}: 0 is not a list; write {key}=[${{seed}}]")):
        tiny(f"{key}=${{seed}}")


def test_a_list_option_takes_an_interpolation_of_a_list(tiny):
    assert tiny("tracking.tags=${objectives}").tracking.tags == ["map50_95"]


def test_locks_that_other_machines_do_not_see_are_said_once(tiny, monkeypatch, caplog):
    monkeypatch.setattr(
        "yolo26_attention.plan.machine.only_within_this_machine", lambda folder: "/data is mounted as nfs with nolock"
    )
    checker = Checker()
    for seed in (0, 1):
        checker.check(tiny("attention=baseline", f"seed={seed}"))
    said = [message for message in caplog.messages if "locks work" in message]
    assert said == [
        "locks work only within this machine: /data is mounted as nfs with nolock; do not start one run on two "
        "machines at once"
    ]


def test_a_placebo_of_a_class_from_elsewhere_counts_with_its_source():
    placebo = PlaceboConfig("x")
    elsewhere = Match("x", "timm.layers.squeeze_excite.SEModule", {"rd_ratio": 0.5}, "parameters", 64)
    found = resolve_placebo(placebo, elsewhere)
    assert isinstance(found, OwnPlaceboConfig)
    assert found.options == {"rd_ratio": 0.5}
    assert len(found.source) == 64
    shipped = Match("acmix", "yolo26_attention.attention.acmix.ACmix", {"heads": 4}, "parameters", 64)
    assert resolve_placebo(placebo, shipped) == PlaceboConfig("x", {"heads": 4})


CLASS = """
from torch import nn


class Mine(nn.Module):
    def __init__(self, channels{options}):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        import checks_part

        return x + checks_part.SCALE * self.mix(x)
"""


@pytest.fixture
def mine(tiny, tmp_path, monkeypatch):
    """The configuration of a class of one's own, and the folder with its code."""
    (tmp_path / "checks_mine.py").write_text(CLASS.format(options=""))
    (tmp_path / "checks_part.py").write_text("SCALE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny("trust=true", "placement=p3")
    yield replace(config, attention={"name": "mine", "_target_": "checks_mine.Mine"}), tmp_path
    for name in ("checks_mine", "checks_part"):
        sys.modules.pop(name, None)


def test_the_identity_does_not_depend_on_what_has_been_imported(mine):
    config, _ = mine
    first = check(config)
    assert "checks_part" in sys.modules  # the module was tried
    assert check(config).run_id == first.run_id
    importlib.import_module("checks_part")
    assert check(config).run_id == first.run_id


@pytest.mark.parametrize("name", ["checks_mine.py", "checks_part.py"])
def test_a_run_after_an_edit_is_refused_because_the_process_still_has_the_former_code(name, mine):
    config, folder = mine
    check(config)
    (folder / name).write_text((folder / name).read_text() + "# edited\n")
    with pytest.raises(ConfigError, match=rf"{name} changed after this command imported it"):
        check(config)


def test_an_option_called_source_is_refused_instead_of_dropped(mine):
    config, folder = mine
    (folder / "checks_mine.py").write_text(CLASS.format(options=", source=1"))
    attention = {**config.attention, "source": 2}
    with pytest.raises(ConfigError, match=r"attention.source=2: source is reserved .* rename this option"):
        check(replace(config, attention=attention))


@pytest.mark.parametrize("name", ["name", "source", "_target_"])
def test_a_class_with_an_option_that_never_reaches_it_is_refused(name, mine):
    config, folder = mine
    (folder / "checks_mine.py").write_text(CLASS.format(options=f", {name}=1"))
    with pytest.raises(ConfigError, match=rf"checks_mine.Mine has an option {name}, but .* rename the option"):
        check(config)


@pytest.mark.parametrize("changed", [False, True])
def test_weights_of_a_class_whose_code_changed_are_loaded_and_that_is_said(changed, mine, caplog):
    config, folder = mine
    run, plan = folder / "runs" / "mine-1", check(config)
    weights = run / "train" / "weights" / "best.pt"
    weights.parent.mkdir(parents=True)
    model = build_stock("yolo26n", len(plan.dataset.names), plan.dataset.channels)
    graft(model, Graft("checks_mine.Mine", {}, ("p3",)))
    torch.save({"model": model, "train_args": {}}, weights)
    source = "another" if changed else plan.config.attention["source"]
    trained = replace(plan.config, attention={**plan.config.attention, "source": source}).plain()
    Record("1", "mine-1", "s", 0, trained, "finished").write(run)
    assert check(replace(config, model=replace(config.model, weights=str(weights)))).run_id != plan.run_id
    said = f"model.weights={weights}: the code of checks_mine.Mine ("
    assert (said in caplog.text) is changed
