"""Every attention in every mode and in a mix, through all that a run does; `make test-zoo` prints the table.

One small network each: a training step, a validation batch that is not square, a checkpoint that is read back, and an
ONNX file with free height and width, compared with PyTorch at another size than it was exported at.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from ultralytics import YOLO
from ultralytics.cfg import get_cfg

from yolo26_attention.attention.options import ATTENTION_SCHEMAS
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.yolo import grafted_yolo

PLACEMENTS = {"append at neck": ("append", ["neck"]), "replace at p4": ("replace", ["p4"])}
PLACEMENTS["bottleneck at p5"] = ("bottleneck", ["p5"])
NAMES = [name for name in ATTENTION_SCHEMAS if name != "baseline"] + ["placebo"]
MIX = "in a mix"
COLUMNS = (*PLACEMENTS, MIX)
BATCH = {
    "batch_idx": torch.tensor([0.0, 1.0]),
    "cls": torch.tensor([[1.0], [2.0]]),
    "bboxes": torch.tensor([[0.5, 0.5, 0.4, 0.3], [0.3, 0.6, 0.2, 0.5]]),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table():
    """Filled by the cases below, written when they are through."""
    cells = {name: dict.fromkeys(COLUMNS, "not run") for name in NAMES}
    yield cells
    rows = [["attention", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    rows += [[name, *placements.values()] for name, placements in cells.items()]
    path = Path("outputs") / "zoo.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("| " + " | ".join(row) + " |\n" for row in rows), encoding="utf-8")


def validate(model, x):
    with torch.no_grad():
        return model.eval()(x)[0]


@pytest.mark.parametrize("placement", [pytest.param(name, id=name.replace(" ", "-")) for name in PLACEMENTS])
@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES])
def test_attention_in_mode(name, placement, table, tmp_path):
    mode, sites = PLACEMENTS[placement]
    match = {"matches": "acmix"} if name == "placebo" else None
    table[name][placement] = "fails to build or train"
    torch.manual_seed(0)
    yolo = grafted_yolo("yolo26n.yaml", name, sites, mode=mode, match=match)
    assert len(grafted_attention(yolo.model)) == {"append": 3, "replace": 1}.get(mode, 2)
    through_a_run(yolo, table[name], placement, tmp_path)


def entry(name, **how):
    return {"name": name, **({"matches": "acmix"} if name == "placebo" else {}), **how}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES])
def test_attention_in_a_mix(name, table, tmp_path):
    """In series before the next one of the table, and beside it at another site."""
    other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
    table[name][MIX] = "fails to build or train"
    torch.manual_seed(0)
    mix = {"p3": [entry(name), entry(other, gate="zero")], "p4": entry(other, mode="replace"), "p5": entry(name)}
    yolo = grafted_yolo("yolo26n.yaml", mix)
    assert list(grafted_attention(yolo.model)) == [f"p3/{name}", f"p3/{other}", "p4", "p5"]
    through_a_run(yolo, table[name], MIX, tmp_path)


def through_a_run(yolo, cells, placement, folder):
    """Train a step, validate, save, reload and export; `cells` says how far it came."""
    model = yolo.model.train()
    model.args = get_cfg()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = model({**BATCH, "img": torch.rand(2, 3, 64, 64)})[0].sum()
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert all(p.grad is not None for attention in grafted_attention(model).values() for p in attention.parameters())
    cells[placement] = "fails on a map that is not square"

    x = torch.rand(2, 3, 96, 160)
    expected = validate(model, x)
    assert expected.isfinite().all()
    cells[placement] = "fails to reload"

    yolo.save(folder / "model.pt")
    reloaded = YOLO(folder / "model.pt").model.float()
    half = yolo.model.half().float()  # what a checkpoint of Ultralytics keeps
    torch.testing.assert_close(validate(reloaded, x), validate(half, x))
    cells[placement] = "fails to export"

    path = YOLO(folder / "model.pt").export(format="onnx", imgsz=64, dynamic=True, device="cpu")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    # Sorted by score: random weights leave ties, whose order is nobody's.
    np.testing.assert_allclose(scores(found), scores(validate(reloaded.fuse(verbose=False), x).numpy()), atol=1e-3)
    cells[placement] = "yes"


def scores(detections):
    return np.sort(detections[..., 4], axis=1)
