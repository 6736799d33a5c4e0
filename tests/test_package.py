"""The library has a name of its own: what is installed, what checkpoints hold, and a folder with a `src` of its own."""

import pickletools
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch

import yolo26_attention
from yolo26_attention import grafted_yolo

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


def python(folder, program):
    """What a program prints that runs in a folder, where `src` of this repository is not on the path."""
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_is_installed_and_no_command():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    there = {".".join(path.parent.relative_to(SOURCE).parts) for path in SOURCE.rglob("*/*.py")}
    assert set(setup["packages"]) == there
    assert set(setup["package-dir"]) == {
        "yolo26_attention",
        "hydra_plugins.study_launchers",
        "hydra_plugins.study_sweepers",
    }


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert yolo26_attention.__version__ == project["version"]


def test_no_module_of_ours_bears_a_name_that_everybody_could_use(tmp_path):
    program = (
        "import profile; from importlib.util import find_spec\n"
        "print([name for name in ('train', 'sweep', 'report', 'export', 'dashboard', 'src') if find_spec(name)])\n"
        "print(hasattr(profile, 'Profile'))"
    )
    assert python(tmp_path, program).split("\n")[:2] == ["[]", "True"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    model = grafted_yolo("yolo26n.yaml", "acmix", ["p3"], mode="replace", options={"kernel_att": 3})
    torch.save({"model": model.model, "train_args": {}}, path)
    return path


def test_a_checkpoint_holds_no_name_that_begins_with_src(checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        names = {str(value) for _, value, _ in pickletools.genops(archive.read(pickled)) if value is not None}
    assert {name for name in names if name.startswith("yolo26_attention.")}
    assert not {name for name in names if name.startswith("src")}


def test_a_folder_with_a_src_of_its_own_keeps_it(tmp_path, checkpoint):
    (tmp_path / "src" / "attention").mkdir(parents=True)
    (tmp_path / "src" / "__init__.py").write_text("whose = 'theirs'\n")
    (tmp_path / "src" / "attention" / "__init__.py").write_text("whose = 'theirs, too'\n")
    program = (
        "import os, yolo26_attention, src, src.attention\n"
        "from ultralytics import YOLO\n"
        f"model = YOLO({str(checkpoint)!r})\n"
        "print(src.whose, src.attention.whose, os.environ['YOLO_AUTOINSTALL'], list(model.model.grafted_sites))"
    )
    # The first import of Ultralytics in a new home says that it writes its settings.
    assert python(tmp_path, program).splitlines()[-1] == "theirs theirs, too false ['p3']"


def test_former_names_are_todays_modules(tmp_path):
    program = (
        "import yolo26_attention, src.attention.acmix as former, src.detector.grafting\n"
        "import yolo26_attention.attention.acmix as acmix\n"
        "print(former is acmix, former.ACmix.__module__)"
    )
    assert python(tmp_path, program) == "True yolo26_attention.attention.acmix\n"


def test_other_names_below_src_are_not_ours(tmp_path):
    program = (
        "import yolo26_attention\n"
        "for name in ('src.train', 'src.attention.nothing', 'src.data'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "        print(name, 'found')\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)"
    )
    lines = python(tmp_path, program).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("No module named") for line in lines)
