"""The files of a class of one's own: a change of any makes another run."""

import importlib
import sys

import pytest

from yolo26_attention.plan.own_code import file_fingerprint, own_code

FILES = {
    "own_pkg/__init__.py": "",
    "own_pkg/mine.py": "import torch\nfrom . import parts\nfrom own_pkg.deep.blocks import Block\nclass Mine: pass\n",
    "own_pkg/parts.py": "from .constants import SCALE\n",
    "own_pkg/constants.py": "SCALE = 1\n",
    "own_pkg/deep/__init__.py": "",
    "own_pkg/deep/blocks.py": "import own_pkg.mine\nclass Block: pass\n",
    "own_pkg/unused.py": "",
    "own_alone.py": "import json\nclass Alone: pass\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def code_of(module, name):
    return own_code(getattr(importlib.import_module(module), name))


def test_the_files_are_the_class_s_own_and_what_it_imports_beside_it(folder):
    code = code_of("own_pkg.mine", "Mine")
    assert code.file == folder / "own_pkg/mine.py"
    assert {path.relative_to(folder).as_posix() for path in code.imported} == {
        "own_pkg/__init__.py",
        "own_pkg/parts.py",
        "own_pkg/constants.py",
        "own_pkg/deep/__init__.py",
        "own_pkg/deep/blocks.py",
    }


@pytest.mark.parametrize("name", ["mine.py", "parts.py", "constants.py", "deep/blocks.py"])
def test_a_change_of_any_of_them_is_another_code(name, folder):
    code = code_of("own_pkg.mine", "Mine")
    before = code.fingerprint
    assert code_of("own_pkg.mine", "Mine").fingerprint == before
    (folder / "own_pkg" / name).write_text(FILES[f"own_pkg/{name}"] + "# changed\n")
    assert code.fingerprint != before


def test_a_single_file_has_the_fingerprint_of_that_file(folder):
    code = code_of("own_alone", "Alone")
    assert code.imported == ()
    assert code.fingerprint == file_fingerprint(folder / "own_alone.py")


def test_of_this_program_no_file_counts(folder, monkeypatch):
    import yolo26_attention.attention

    (folder / "own_alone.py").write_text("from yolo26_attention.attention import simam\nclass Alone: pass\n")
    monkeypatch.setattr(
        yolo26_attention.attention, "__file__", str(folder / "own_pkg/parts.py")
    )  # as if it lay beside the class
    assert code_of("own_alone", "Alone").imported == ()


def test_of_an_installed_package_it_is_the_class_s_file_alone():
    code = code_of("timm.layers.squeeze_excite", "SEModule")
    assert code.file.name == "squeeze_excite.py"
    assert code.imported == ()


def test_a_built_in_class_has_no_files():
    with pytest.raises(TypeError):
        own_code(dict)
