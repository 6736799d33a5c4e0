"""No code from elsewhere runs unless it was asked for: every hostile file here would leave a mark if it did."""

import copy
import importlib
import os
import pickle
import sys

import pytest
import torch

from tests.faults.data import Call
from yolo26_attention.attention.options import ATTENTION_SCHEMAS, resolve_options
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.isolation import surroundings
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock, check_weights
from yolo26_attention.detector.trust import Trust
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.yolo import grafted_yolo

OWN = """
from torch import nn


class Damped(nn.Module):
    def __init__(self, channels, **options):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(x)
"""


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


@pytest.fixture(scope="module")
def stock():
    return build_stock("yolo26n", classes=10, channels=3)


def save_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_pickle(content, path, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol))


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(torch.save, id="torch"),
        pytest.param(save_legacy, id="legacy"),
        pytest.param(save_pickle, id="pickle"),
        pytest.param(lambda content, path: save_pickle(content, path, 4), id="protocol-4"),
    ],
)
@pytest.mark.parametrize("call", ["system", "exec"])
def test_a_checkpoint_with_code_is_refused_and_the_code_does_not_run(tiny, tmp_path, marker, save, call):
    given = (os.system, f"touch {marker}") if call == "system" else (exec, f"open({str(marker)!r}, 'w')")
    path = tmp_path / "hostile.pt"
    save({"model": Call(*given)}, path)
    with pytest.raises(ConfigError, match=r"model.weights=.*/hostile.pt .*trust=true"):
        check(tiny(f"model.weights={path}"))
    assert not marker.exists()
    with pytest.raises(ConfigError, match="is not an Ultralytics checkpoint"):
        check(tiny(f"model.weights={path}", "trust=true"))
    assert marker.exists(), "the file is hostile"


def test_what_is_refused_is_named(tiny, tmp_path, marker):
    torch.save({"model": Call(os.system, f"touch {marker}")}, tmp_path / "hostile.pt")
    with pytest.raises(ConfigError, match=r"hostile.pt holds posix.system, which is no part of a YOLO"):
        check(tiny(f"model.weights={tmp_path / 'hostile.pt'}"))


def test_the_training_itself_loads_no_code_either(tiny, tmp_path, marker, stock):
    """The file may have become another one since it was checked."""
    path = tmp_path / "weights.pt"
    torch.save({"model": stock, "train_args": {}}, path)
    plan = check(tiny(f"model.weights={path}"))
    torch.save({"model": Call(os.system, f"touch {marker}")}, path)
    trainer = GraftTrainer.configured(plan.grafts, trust=plan.trust)(
        overrides={**plan.arguments, "save_dir": str(tmp_path / "train")}
    )
    with pytest.raises(ValueError, match=r"weights.pt holds posix.system"):
        trainer.setup_model()
    assert not marker.exists()


@pytest.mark.parametrize("attention", [None, "se"])
def test_from_python_it_is_refused_too(tmp_path, marker, attention):
    path = tmp_path / "hostile.pt"
    torch.save({"model": Call(os.system, f"touch {marker}")}, path)
    with pytest.raises(ValueError, match=r"model=.*hostile.pt holds posix.system"):
        grafted_yolo(path, attention)
    assert not marker.exists()
    with pytest.raises(TypeError, match="outside the supported Ultralytics checkpoint format"):
        grafted_yolo(path, attention, trust=True)
    assert marker.exists()


def test_a_checkpoint_does_not_name_the_class_that_training_imports(tmp_path, stock):
    model = copy.deepcopy(stock)
    model.grafted_spec = {"target": "os.system", "sites": ("p3",)}
    torch.save({"model": model, "train_args": {}}, tmp_path / "hostile.pt")
    with pytest.raises(ValueError, match=r"the class of its graft=os.system is not part of this program"):
        grafted_yolo(tmp_path / "hostile.pt")


def test_a_checkpoint_has_no_say_in_what_the_network_is_built_from(tiny, tmp_path, marker, stock):
    model = copy.deepcopy(stock)
    model.yaml["activation"] = f"open({str(marker)!r}, 'w')"
    torch.save({"model": model, "train_args": {}}, tmp_path / "hostile.pt")
    data = str(check(tiny()).dataset.yaml)
    with pytest.raises(TypeError, match="unsupported activation"):
        grafted_yolo(tmp_path / "hostile.pt", "se").train(
            data=data, epochs=1, imgsz=64, save_dir=str(tmp_path / "train"), plots=False, device="cpu"
        )
    assert not marker.exists()


@pytest.mark.parametrize("name", [name for name in ATTENTION_SCHEMAS if name != "baseline"])
def test_every_attention_loads_without_trust(name, tmp_path, stock):
    target, options = resolve_options(name, {})
    loads_without_trust(Graft(target, options, ("p3",)), tmp_path, stock)


@pytest.mark.parametrize(("mode", "gate"), [("append", "zero"), ("replace", "none"), ("bottleneck", "none")])
def test_every_mode_loads_without_trust(mode, gate, tmp_path, stock):
    target, options = resolve_options("acmix", {})
    loads_without_trust(Graft(target, options, ("p3",), 0, mode, gate), tmp_path, stock)


def loads_without_trust(spec, folder, stock):
    model = copy.deepcopy(stock)
    graft(model, spec)
    torch.save({"model": model.half(), "train_args": {}}, folder / "grafted.pt")
    check_weights(folder / "grafted.pt", stock, Trust())


def test_what_a_training_wrote_starts_another_one(tiny, tmp_path):
    plan = check(tiny("attention=acmix", "placement=p3", f"output_dir={tmp_path}"))
    run(plan, "")
    best = plan.folder / "train" / "weights" / "best.pt"
    record, _ = run(
        check(tiny("attention=acmix", "placement=p3", f"output_dir={tmp_path}", f"model.weights={best}")), ""
    )
    assert record.model.stock_tensors_loaded == 708
    assert record.model.graft_tensors_loaded > 0


def checkpoint_of_own_class(module, folder, stock, monkeypatch):
    """A checkpoint of a network with the class of a user's file in a folder."""
    (folder / f"{module}.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    model = copy.deepcopy(stock)
    graft(model, Graft(f"{module}.Damped", {}, ("p3",)))
    path = folder / "own.pt"
    torch.save({"model": model, "train_args": {}}, path)
    return path


def test_a_class_of_ones_own_loads_if_its_folder_was_given(tmp_path, monkeypatch, stock):
    path = checkpoint_of_own_class("own_damped", tmp_path, stock, monkeypatch)
    torch.serialization.clear_safe_globals()
    with pytest.raises(ValueError, match=r"own.pt holds own_damped.Damped, which is no part"):
        check_weights(path, stock, Trust())
    check_weights(path, stock, Trust(folders=(str(tmp_path),)))
    torch.serialization.clear_safe_globals()
    check_weights(path, stock, Trust(everything=True))


@pytest.mark.parametrize(
    "target",
    ["os.system", "subprocess.Popen", "torch.nn.Identity", "timm.layers.SEModule", "src.sweep.main", "sys.exit"],
)
def test_a_dotted_path_to_code_from_elsewhere_is_refused(tiny, target):
    with pytest.raises(ConfigError, match=rf"attention._target_={target} is not part of .* -cd DIR, or trust=true"):
        check(tiny(f"attention._target_={target}"))
    with pytest.raises(ConfigError, match=rf"\+attention._target_={target}: there is no option attention._target_"):
        check(tiny("attention=baseline", f"+attention._target_={target}"))
    with pytest.raises(ConfigError, match=rf"placebo.matches={target} is not part of"):
        check(tiny("attention=placebo", f"placebo.matches={target}"))


def test_it_is_refused_before_it_is_imported(tiny, tmp_path, monkeypatch, marker):
    (tmp_path / "own_hostile.py").write_text(f"open({str(marker)!r}, 'w')\n{OWN}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"its code \({tmp_path}/own_hostile.py\) is in no folder given"):
        check(tiny("attention._target_=own_hostile.Damped"))
    assert not marker.exists()
    assert "own_hostile" not in sys.modules
    plan = check(tiny("attention._target_=own_hostile.Damped", "attention.name=mine", "trust=true"))
    assert marker.exists()
    assert plan.config.attention["source"], "its code is part of the run"


def test_trust_does_not_make_another_run(tiny):
    assert check(tiny("trust=true")).run_id == check(tiny()).run_id


@pytest.mark.parametrize(
    ("module", "covered"),
    [
        pytest.param("own_file", True, id="file"),
        pytest.param("own_package.inner", True, id="package"),
        pytest.param("own_space.inner", True, id="namespace"),
        pytest.param("os", False, id="frozen"),
        pytest.param("sys", False, id="built-in"),
        pytest.param("json.tool", False, id="standard-library"),
        pytest.param("own_nothing", False, id="missing"),
        pytest.param("", False, id="empty"),
    ],
)
def test_a_folder_covers_what_lies_in_it(tmp_path, monkeypatch, module, covered):
    (tmp_path / "own_file.py").touch()
    for name in ("own_package", "own_space"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inner.py").touch()
    (tmp_path / "own_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    assert Trust(folders=(str(tmp_path),)).covers(module) is covered
    assert not Trust(folders=(f"{tmp_path}/own",)).covers(module)


def test_the_file_of_a_class_changes_no_generator_and_no_setting(tmp_path, monkeypatch, stock):
    """Loading a checkpoint imports it as a configuration does."""
    path = checkpoint_of_own_class("own_seeding", tmp_path, stock, monkeypatch)
    changes = "import random\nimport torch\nrandom.seed(0)\ntorch.manual_seed(0)\ntorch.set_flush_denormal(True)\n"
    (tmp_path / "own_seeding.py").write_text(changes + OWN)
    monkeypatch.delitem(sys.modules, "own_seeding")
    importlib.invalidate_caches()
    before, state = surroundings(), torch.get_rng_state()
    check_weights(path, stock, Trust(folders=(str(tmp_path),)))
    assert "own_seeding" in sys.modules
    assert surroundings() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_trust_ends_with_its_block(tmp_path, monkeypatch, stock):
    (tmp_path / "own_ended.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    model = copy.deepcopy(stock)
    graft(model, Graft("own_ended.Damped", {}, ("p3",)))
    path = tmp_path / "own.pt"
    torch.save({"model": model, "train_args": {}}, path)
    check_weights(path, stock, Trust(folders=(str(tmp_path),)))
    with pytest.raises(ValueError, match=r"own.pt holds own_ended.Damped, which is no part"):
        check_weights(path, stock, Trust())
