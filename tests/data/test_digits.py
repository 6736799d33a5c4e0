import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from ultralytics.cfg import get_cfg
from ultralytics.data import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

from yolo26_attention.data import digits
from yolo26_attention.data.digits import build_digits, fingerprint
from yolo26_attention.data.scenes import draw_scene

ROOT = Path(__file__).parents[2]
TINY = {"train_images": 4, "val_images": 2, "imgsz": 64, "seed": 3}
TINY_FINGERPRINT = "247f1d2e26ca9235921452e10302956c4640c7dc9d8b21808174ce76aaca3d07"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    cache = tmp_path_factory.mktemp("pristine")
    build_digits(cache, **TINY)
    return cache


@pytest.fixture
def tiny(pristine, tmp_path):
    """The data.yaml of a set that a test may spoil."""
    shutil.copytree(pristine, tmp_path / "cache")
    return build_digits(tmp_path / "cache", **TINY)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.*"))
        if path.suffix in {".bmp", ".txt"}
    }


def test_every_byte_is_the_same_on_any_machine(pristine):
    assert fingerprint(build_digits(pristine, **TINY)) == TINY_FINGERPRINT


def test_the_same_options_give_the_same_files(tiny, tmp_path):
    again = build_digits(tmp_path / "elsewhere", **TINY)
    assert content(again.parent) == content(tiny.parent)
    assert again.parent.name == tiny.parent.name


@pytest.mark.parametrize(
    "option",
    [
        pytest.param({"train_images": 5}, id="train_images"),
        pytest.param({"val_images": 3}, id="val_images"),
        pytest.param({"imgsz": 96}, id="imgsz"),
        pytest.param({"seed": 4}, id="seed"),
    ],
)
def test_every_option_changes_folder_and_bytes(tiny, tmp_path, option):
    other = build_digits(tmp_path / "cache", **(TINY | option))
    assert other.parent != tiny.parent
    assert fingerprint(other) != fingerprint(tiny)


def test_another_generator_gets_another_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "GENERATOR", "another")
    assert build_digits(tmp_path / "cache", **TINY).parent != tiny.parent


def test_the_files_and_the_record(tiny):
    names = [f"{index:05d}" for index in range(4)]
    assert [*content(tiny.parent)] == [
        *(f"images/train/{name}.bmp" for name in names),
        *(f"images/val/{name}.bmp" for name in names[:2]),
        *(f"labels/train/{name}.txt" for name in names),
        *(f"labels/val/{name}.txt" for name in names[:2]),
    ]
    assert tiny.parent.name.startswith("digits-4-2-64px-seed3-")
    record = json.loads((tiny.parent / "fingerprint.json").read_text())
    assert record["options"] == TINY


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda path: np.asarray(Image.open(path)), id="pillow"),
        pytest.param(lambda path: cv2.imread(str(path))[..., ::-1], id="opencv"),
    ],
)
def test_images_hold_the_scene(tiny, read):
    image = read(tiny.parent / "images/val/00001.bmp")
    assert np.array_equal(image, draw_scene("val", 1, imgsz=64, seed=3).image)


@pytest.mark.parametrize("split", ["train", "val"])
def test_ultralytics_reads_it(tiny, split):
    data = check_det_dataset(str(tiny), autodownload=False)
    assert data["names"] == {digit: str(digit) for digit in range(10)}
    config = get_cfg(overrides={"imgsz": 64, "task": "detect"})
    dataset = build_yolo_dataset(config, data[split], 2, data, mode="val")
    scenes = [draw_scene(split, i, imgsz=64, seed=3) for i in range(len(dataset))]
    assert len(dataset) == TINY[f"{split}_images"]
    classes = np.concatenate([label["cls"].ravel() for label in dataset.labels])
    assert np.array_equal(classes, np.concatenate([scene.classes for scene in scenes]))
    xywh = np.concatenate([label["bboxes"] for label in dataset.labels]) * 64
    xyxy = np.hstack([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2])
    assert np.abs(xyxy - np.concatenate([scene.boxes for scene in scenes])).max() < 1e-3


def change_a_byte(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        pytest.param("images/val/00001.bmp", Path.unlink, "00001.bmp is missing", id="no-image"),
        pytest.param("labels/val/00000.txt", Path.unlink, "00000.txt is missing", id="no-label"),
        pytest.param(
            "images/train/00002.bmp",
            lambda path: os.truncate(path, 1000),
            "bytes have changed",
            id="cut-image",
        ),
        pytest.param("images/train/00000.bmp", change_a_byte, "have changed", id="image-changed"),
        pytest.param("labels/train/00003.txt", change_a_byte, "have changed", id="label-changed"),
        pytest.param(
            "images/train/99999.bmp",
            lambda path: path.write_bytes(b""),
            "99999.bmp is not part of it",
            id="one-too-many",
        ),
        pytest.param("fingerprint.json", Path.unlink, "FileNotFoundError", id="no-fingerprint"),
        pytest.param(
            "fingerprint.json",
            lambda path: path.write_text("{"),
            "JSONDecodeError",
            id="broken-fingerprint",
        ),
        pytest.param("fingerprint.json", lambda path: path.write_text("[]"), "TypeError", id="no-mapping"),
        pytest.param("labels", shutil.rmtree, "labels/train/00000.txt is missing", id="no-folder"),
    ],
)
def test_a_damaged_set_is_built_again(tiny, caplog, name, damage, said):
    before = content(tiny.parent)
    damage(tiny.parent / name)
    with caplog.at_level(logging.WARNING, logger="yolo26_attention.data.digits"):
        assert build_digits(tiny.parents[1], **TINY) == tiny
    assert content(tiny.parent) == before
    assert fingerprint(tiny) == TINY_FINGERPRINT
    (warning,) = caplog.messages
    assert said in warning
    assert os.listdir(tiny.parents[1]) == [tiny.parent.name]


@pytest.mark.parametrize("name", ["labels/train.cache", "labels/val/val.cache", "images/train/00000.npy"])
def test_what_ultralytics_leaves_behind_is_no_damage(tiny, caplog, name):
    (tiny.parent / name).write_bytes(b"left behind")
    build_digits(tiny.parents[1], **TINY)
    assert not caplog.messages
    assert (tiny.parent / name).exists()


def test_an_intact_set_is_not_built_again(tiny, monkeypatch):
    monkeypatch.setattr(digits, "draw_scene", None)
    inode = tiny.stat().st_ino
    assert build_digits(tiny.parents[1], **TINY) == tiny
    assert tiny.stat().st_ino == inode


def test_a_moved_cache_still_names_its_own_folder(tiny, tmp_path, monkeypatch):
    tiny.parents[1].rename(tmp_path / "moved é")
    monkeypatch.chdir(tmp_path)
    moved = build_digits(Path("moved é"), **TINY)
    assert moved == tmp_path / "moved é" / tiny.parent.name / "data.yaml"
    assert check_det_dataset(str(moved), autodownload=False)["path"] == moved.parent
    assert {path.name for path in moved.parent.iterdir()} == {
        "data.yaml",
        "fingerprint.json",
        "images",
        "labels",
    }


def test_two_processes_at_once(tmp_path):
    program = """
import sys, time
from pathlib import Path
from yolo26_attention.data.digits import build_digits
print(flush=True)
sys.stdin.readline()
print(build_digits(Path(sys.argv[1]), train_images=150, val_images=2, imgsz=64))
"""
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    started = [builder.stdout.readline() for builder in builders]
    assert started == ["\n", "\n"]
    outcomes = [builder.communicate("\n", timeout=60) for builder in builders[::-1]]
    assert [builder.returncode for builder in builders] == [0, 0], outcomes
    assert len({out for out, _ in outcomes}) == 1
    assert len(os.listdir(tmp_path)) == 1
    build_digits(tmp_path, train_images=150, val_images=2, imgsz=64)


def test_who_comes_second_uses_what_is_there(tmp_path, monkeypatch):
    def draw_after_another(split, index, **options):
        monkeypatch.setattr(digits, "draw_scene", draw_scene)
        winner.append(build_digits(tmp_path, **TINY).stat().st_ino)
        return draw_scene(split, index, **options)

    winner = []
    monkeypatch.setattr(digits, "draw_scene", draw_after_another)
    assert [build_digits(tmp_path, **TINY).stat().st_ino] == winner
    assert len(os.listdir(tmp_path)) == 1


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "draw_scene", None)
    with pytest.raises(TypeError):
        build_digits(tmp_path, **TINY)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("age", "stays"), [pytest.param(7200, False, id="old"), pytest.param(60, True, id="fresh")])
def test_what_a_killed_builder_left_goes_once_it_is_old(tiny, age, stays):
    left = tiny.parent.with_name(f".{tiny.parent.name}.0123456789ab")
    tiny.parent.rename(left)
    os.utime(left, (time.time() - age,) * 2)
    build_digits(tiny.parents[1], **TINY)
    assert left.exists() == stays


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param({"train_images": 0}, "data.train_images=0 .* 1 to 99999", id="no-training"),
        pytest.param({"val_images": -1}, "data.val_images=-1 .* 1 to 99999", id="negative"),
        pytest.param({"val_images": 10**5}, "data.val_images=100000 .*1 to 99999", id="too-many"),
        pytest.param({"train_images": 1.5}, "data.train_images=1.5 .*whole", id="fraction"),
        pytest.param({"train_images": True}, "data.train_images=True .*whole", id="truth-value"),
        pytest.param({"imgsz": 32}, "data.imgsz=32 .*64 to 640", id="small"),
        pytest.param({"imgsz": 672}, "data.imgsz=672 .*64 to 640", id="large"),
        pytest.param({"imgsz": 100}, "data.imgsz=100 .*of 32.* 96 or 128", id="no-multiple"),
        pytest.param({"imgsz": "160"}, "data.imgsz='160' .*whole", id="text"),
        pytest.param({"seed": -1}, "data.seed=-1 .*0 to 4294967295", id="negative-seed"),
        pytest.param({"seed": 2**32}, "data.seed=4294967296 .*0 to", id="large-seed"),
    ],
)
def test_bad_options_are_named_with_a_way_out(tmp_path, option, said):
    with pytest.raises(ValueError, match=said):
        build_digits(tmp_path, **(TINY | option))
    assert os.listdir(tmp_path) == []


def test_an_unwritable_cache_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        build_digits(tmp_path / "file", **TINY)


def test_importing_it_is_light():
    program = "import sys, yolo26_attention.data.digits; print({'torch', 'ultralytics', 'sklearn'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
