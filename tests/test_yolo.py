"""From Python: a YOLO whose train, val, predict and export keep the graft, for every task and kind of start."""

import sys

import numpy as np
import onnxruntime
import pytest
import torch
import torch._dynamo.config
from torch import nn
from ultralytics import YOLO

from yolo26_attention.detector.grafted import graft_of, grafted_attention, placebo_matches
from yolo26_attention.plan.checks import check
from yolo26_attention.yolo import GraftedYOLO, grafted_yolo

QUICK = {"epochs": 1, "imgsz": 64, "batch": 8, "plots": False, "verbose": False, "device": "cpu"}


class Scaled(nn.Module):
    """A user's own class."""

    def __init__(self, channels, start=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, x):
        return x * self.scale


@pytest.fixture(scope="module")
def digits(tiny):
    return str(check(tiny()).dataset.yaml)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """An ACmix model after one epoch from Python, and its folder."""
    folder = tmp_path_factory.mktemp("python")
    model = grafted_yolo("yolo26n.yaml", "acmix", ["p3"], options={"kernel_att": 3})
    model.train(data=digits, save_dir=str(folder / "first"), seed=1, **QUICK)
    return model, folder


def output(model, x):
    with torch.no_grad():
        return model.model.eval()(x)[0]


def test_training_keeps_the_graft(trained):
    model, folder = trained
    (attention,) = grafted_attention(model.model).values()
    assert attention.kernel_att == 3
    assert type(model.trainer).__name__ == "GraftingDetectionTrainer"
    reloaded = YOLO(folder / "first" / "weights" / "best.pt")
    assert list(grafted_attention(reloaded.model)) == ["p3"]


def test_validation_and_prediction_run_the_graft(trained, digits, tmp_path):
    model, _ = trained
    metrics = model.val(data=digits, imgsz=64, plots=False, save_dir=str(tmp_path), device="cpu")
    assert 0 <= metrics.box.map <= 1
    calls = []
    handle = next(iter(grafted_attention(model.model).values())).register_forward_hook(lambda *_: calls.append(1))
    model.predictor = None
    model.predict(np.zeros((64, 96, 3), np.uint8), imgsz=96, verbose=False, device="cpu")
    handle.remove()
    assert calls


def test_a_checkpoint_goes_on_with_its_graft_and_its_values(trained, digits, tmp_path):
    _, folder = trained
    model = grafted_yolo(folder / "first" / "weights" / "best.pt")
    start = {}

    def keep(trainer):
        start.update({name: value.clone() for name, value in trainer.model.state_dict().items()})

    before = {name: value.clone().float() for name, value in model.model.state_dict().items()}
    model.add_callback("on_train_start", keep)
    model.train(data=digits, save_dir=str(tmp_path), **QUICK)
    assert start.keys() == before.keys()
    assert sum(torch.equal(start[name].float(), before[name]) for name in start) == len(before)


@pytest.mark.slow
def test_export_has_the_graft(trained, tmp_path):
    _, folder = trained
    path = folder / "first" / "weights" / "best.pt"
    exported = YOLO(path).export(format="onnx", imgsz=64, device="cpu")
    x = torch.rand(1, 3, 64, 64)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = YOLO(path)
    with torch.no_grad():
        (theirs, *_) = expected.model.float().fuse(verbose=False).eval()(x)
    np.testing.assert_allclose(np.sort(ours[..., 4].ravel()), np.sort(theirs[..., 4].ravel()), atol=1e-4)


def test_a_torchscript_file_of_one_size_refuses_another_shape(tmp_path):
    """An image of another shape with as many pixels would get wrong boxes."""
    model = grafted_yolo("yolo26n.yaml", "acmix", ["p5"])
    model.model.pt_path = str(tmp_path / "model.pt")
    exported = torch.jit.load(model.export(format="torchscript", imgsz=[64, 128], verbose=False, device="cpu"))
    assert not model.model._forward_pre_hooks
    assert exported(torch.rand(1, 3, 64, 128)).shape[0] == 1
    with pytest.raises(RuntimeError, match="expanded size"):
        exported(torch.rand(1, 3, 128, 64))


def test_every_stock_tensor_of_a_checkpoint_is_kept(tmp_path):
    torch.manual_seed(3)
    stock = YOLO("yolo26n.yaml")
    stock.save(tmp_path / "stock.pt")
    values = YOLO(tmp_path / "stock.pt").model.state_dict()
    model = grafted_yolo(tmp_path / "stock.pt", "acmix", gate="zero")
    kept = model.model.state_dict()
    assert len(values) == 708
    assert all(torch.equal(kept[name], value) for name, value in values.items())
    x = torch.rand(1, 3, 64, 96)
    assert torch.equal(output(model, x), output(YOLO(tmp_path / "stock.pt"), x))


@pytest.mark.parametrize(
    ("name", "sites"),
    [
        pytest.param("yolo26n-seg.yaml", ["neck"], id="segment"),
        pytest.param("yolo26n-pose.yaml", ["neck"], id="pose"),
        pytest.param("yolo26n-obb.yaml", ["neck"], id="obb"),
        pytest.param("yolo26n-cls.yaml", ["backbone"], id="classify"),
        pytest.param("yolo26n-p2.yaml", ["p2"], id="p2"),
        pytest.param("yolo26n-p6.yaml", ["p6"], id="p6"),
    ],
)
def test_every_task_takes_it_and_its_trainer_too(name, sites):
    model = grafted_yolo(name, "se", sites)
    assert grafted_attention(model.model)
    assert model.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False, device="cpu")
    assert model._smart_load("trainer") is not None


def test_another_task_trains_with_it(tmp_path):
    """Classification: of the other tasks the one whose data set is folders of images."""
    from PIL import Image

    for split in ("train", "val"):
        for label in ("dark", "light"):
            folder = tmp_path / "shades" / split / label
            folder.mkdir(parents=True)
            for index in range(4):
                shade = (index + 1) * 10 + (150 if label == "light" else 0)
                Image.new("RGB", (64, 64), (shade, shade, shade)).save(folder / f"{index}.png")
    model = grafted_yolo("yolo26n-cls.yaml", "se", ["backbone_p4"])
    model.train(data=str(tmp_path / "shades"), save_dir=str(tmp_path / "train"), **QUICK)
    assert list(grafted_attention(model.model)) == ["backbone_p4"]
    assert type(model.trainer).__name__ == "GraftingClassificationTrainer"


def test_a_class_of_ones_own(tmp_path):
    model = grafted_yolo("yolo26n.yaml", Scaled, ["p4"], options={"start": 2.0})
    (attention,) = grafted_attention(model.model).values()
    assert isinstance(attention, Scaled)
    assert attention.scale[0].item() == 2.0


def test_compiled_it_is_not_taken_for_a_stock_network(monkeypatch):
    monkeypatch.setattr(torch._dynamo.config, "skip_nnmodule_hook_guards", True)
    grafted_yolo("yolo26n.yaml", "simam", ["p3"])
    assert not torch._dynamo.config.skip_nnmodule_hook_guards


def test_placebo_from_python():
    model = grafted_yolo("yolo26n.yaml", "placebo", ["p3"], match={"matches": "sasa", "by": "flops", "imgsz": 320})
    (match,) = placebo_matches(model.model).values()
    assert match["by"] == "flops"


def test_seed_decides_the_start_of_the_graft():
    models = [grafted_yolo("yolo26n.yaml", "acmix", ["p3"], seed=seed) for seed in (0, 0, 1)]
    first, same, other = (grafted_attention(model.model)["p3"].conv1.weight for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({}, r"has no graft; give attention=NAME", id="nothing-to-graft"),
        pytest.param({"attention": "acmix", "sites": ["p9"]}, r"no site 'p9' here; it has", id="site"),
        pytest.param({"attention": "acmx"}, r"acmx is not an attention; choose one of", id="attention"),
        pytest.param({"attention": "cbam", "options": {"heads": 4}}, r"cbam has no option heads; it has", id="option"),
        pytest.param({"attention": "acmix", "mode": "prepend"}, r"placement.mode=prepend is unknown", id="mode"),
        pytest.param({"attention": "acmix", "match": {"matches": "se"}}, r"attention=acmix is none", id="match"),
        pytest.param({"attention": "placebo"}, r"needs matches, and may have", id="placebo-of-nothing"),
        pytest.param({"attention": "placebo", "match": {"matches": "se", "of": 1}}, r"needs matches", id="match-key"),
        pytest.param(
            {"attention": "placebo", "match": {"matches": "acmix", "by": "params"}},
            r"by=params is unknown: a placebo matches parameters or flops",
            id="match-by",
        ),
        pytest.param(
            {"attention": {"p3": {"name": "placebo", "matches": "acmix", "by": "params"}}},
            r"attention.grafts.p3: by=params is unknown: a placebo matches parameters or flops",
            id="match-by-in-a-mix",
        ),
        *(
            pytest.param({"attention": None, key: value}, rf"{key}=.* has no effect if a checkpoint keeps", id=key)
            for key, value in {
                "sites": ["p3"],
                "options": {"heads": 8},
                "mode": "replace",
                "gate": "zero",
                "seed": 5,
                "match": {"matches": "se"},
            }.items()
        ),
        pytest.param(
            {"attention": "baseline", "options": {"heads": 8}},
            r"options=.* has no effect with attention=baseline",
            id="baseline",
        ),
        pytest.param({"attention": {"p3": "se"}, "options": {"heads": 8}}, r"options=.* no effect on a mix", id="mix"),
        pytest.param({"attention": "no.such.Thing"}, r"no.such.Thing cannot be imported", id="class"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        grafted_yolo("yolo26n.yaml", **arguments)


def test_a_loop_over_attentions_may_include_the_baseline():
    stock = grafted_yolo("yolo26n.yaml", "baseline", ["p3"], mode="replace", gate="zero", seed=5)
    assert not graft_of(stock.model)


def test_a_graft_is_not_taken_off_by_asking_for_the_baseline(trained):
    _, folder = trained
    with pytest.raises(ValueError, match=r"has a graft \(acmix\), which attention=baseline does not remove"):
        grafted_yolo(folder / "first" / "weights" / "best.pt", "baseline")


def test_loading_takes_the_values_of_the_attention(tmp_path):
    source = grafted_yolo("yolo26n.yaml", "acmix", ["p3"], seed=1)
    with torch.no_grad():
        for parameter in source.model.parameters():
            parameter.add_(0.01)
    grafted_attention(source.model)["p3"].dep_conv.bias = nn.Parameter(torch.rand(64))  # which ACmix takes over
    path = tmp_path / "weights.pt"
    torch.save({"model": source.model, "train_args": {}}, path)
    for weights in (path, str(path), source.model, {"model": source.model}):
        model = grafted_yolo("yolo26n.yaml", "acmix", ["p3"])
        assert model.load(weights) is model
        values = model.model.state_dict()
        assert values.keys() == source.model.state_dict().keys()
        assert all(torch.equal(values[name], value) for name, value in source.model.state_dict().items())


def test_loading_does_not_drop_the_attention_of_a_checkpoint(tmp_path):
    model, other = grafted_yolo("yolo26n.yaml", "se", ["p3"]), grafted_yolo("yolo26n.yaml", "cbam", ["p3"])
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    path = tmp_path / "cbam.pt"
    torch.save({"model": other.model, "train_args": {}}, path)
    for weights in (path, other.model, {"ema": None, "model": other.model}):
        with pytest.raises(ValueError, match=r"weights=.*cbam at p3, but this run has .*se at p3; .* would be lost"):
            model.load(weights)
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())


def test_loading_runs_no_foreign_code(tmp_path, monkeypatch):
    (tmp_path / "loaded_code.py").write_text("from torch import nn\nclass Foreign(nn.Module): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import loaded_code

    model = grafted_yolo("yolo26n.yaml", "se", ["p3"])
    holding = grafted_yolo("yolo26n.yaml", "se", ["p3"])
    holding.model.model[22].other = loaded_code.Foreign()
    torch.save({"model": holding.model, "train_args": {}}, tmp_path / "foreign.pt")
    monkeypatch.delitem(sys.modules, "loaded_code")
    with pytest.raises(ValueError, match=r"weights=\S+foreign.pt holds loaded_code.Foreign"):
        model.load(tmp_path / "foreign.pt")
    assert "loaded_code" not in sys.modules
    trusting = grafted_yolo("yolo26n.yaml", "se", ["p3"], trust=True)
    trusting.load(tmp_path / "foreign.pt")


def test_an_exported_network_is_refused(tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"is an exported network"):
        GraftedYOLO(tmp_path / "model.onnx")


def test_the_tuner_is_refused():
    with pytest.raises(NotImplementedError, match="loses the graft"):
        grafted_yolo("yolo26n.yaml", "se", ["p3"]).tune()
