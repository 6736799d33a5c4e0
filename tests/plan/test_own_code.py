"""The files of a class of one's own: a change of any makes another run."""

import importlib
import os
import py_compile
import sys

import pytest

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.detector.importing import find_class
from yolo26_attention.detector.own_imports import is_library
from yolo26_attention.files.digest import file_digest
from yolo26_attention.plan.own_code import code_changed, imported_fingerprint, own_code

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
    assert code.fingerprint == file_digest(folder / "own_alone.py")


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


LAZY = {
    "own_lazy.py": (
        "class Lazy:\n    def forward(self):\n        import own_lazy_part\n        from own_lazy_pkg import inner\n"
    ),
    "own_lazy_part.py": "def late():\n    from own_lazy_pkg.other import VALUE\n",
    "own_lazy_pkg/__init__.py": "",
    "own_lazy_pkg/inner.py": "",
    "own_lazy_pkg/other.py": "VALUE = 1\n",
}


@pytest.fixture
def lazy(folder):
    (folder / "own_lazy_pkg").mkdir()
    for name, content in LAZY.items():
        (folder / name).write_text(content)
    return folder


def test_what_a_function_imports_counts_whether_or_not_it_has_been_imported(lazy):
    code = code_of("own_lazy", "Lazy")
    before = code.fingerprint
    assert {path.relative_to(lazy).as_posix() for path in code.imported} == set(LAZY) - {"own_lazy.py"}
    for name in ("own_lazy_part", "own_lazy_pkg.inner", "own_lazy_pkg.other"):
        importlib.import_module(name)
    again = code_of("own_lazy", "Lazy")
    assert again == code
    assert again.fingerprint == before


def test_imports_that_never_run_do_not_count(folder):
    (folder / "own_alone.py").write_text(
        "import typing\nif typing.TYPE_CHECKING:\n    import own_pkg\nelse:\n    import own_other\n"
        "if __name__ == '__main__':\n    import own_pkg.unused\nclass Alone: pass\n"
    )
    (folder / "own_other.py").write_text("")
    assert code_of("own_alone", "Alone").imported == (folder / "own_other.py",)


def test_a_name_that_python_takes_from_its_library_is_not_the_file_beside(folder):
    (folder / "own_alone.py").write_text("import sys, _io, json\nclass Alone: pass\n")
    for name in ("sys.py", "_io.py"):
        (folder / name).write_text("")
    assert code_of("own_alone", "Alone").imported == ()


def test_a_file_that_is_not_python_counts_without_what_it_imports(folder):
    (folder / "own_alone.py").write_text("class Alone:\n    def forward(self):\n        import own_broken\n")
    (folder / "own_broken.py").write_text("import own_pkg\ndef (\n")
    assert code_of("own_alone", "Alone").imported == (folder / "own_broken.py",)


def test_files_beside_a_link_and_beside_its_target_count(folder):
    shelf = folder / "shelf"
    shelf.mkdir()
    (shelf / "target.py").write_text(
        "import sys\nfrom pathlib import Path\nsys.path.append(str(Path(__file__).resolve().parent))\n"
        "import own_beside_link\nimport own_beside_target\nclass Linked: pass\n"
    )
    (shelf / "own_beside_target.py").write_text("")
    (folder / "own_beside_link.py").write_text("")
    (folder / "own_linked.py").symlink_to(shelf / "target.py")
    code = code_of("own_linked", "Linked")
    assert code.file == shelf / "target.py"
    assert set(code.imported) == {folder / "own_beside_link.py", shelf / "own_beside_target.py"}


@pytest.mark.parametrize("name", ["mine.py", "constants.py"])
@pytest.mark.parametrize("how", ["edited", "gone"])
def test_a_file_that_changed_since_it_was_imported_is_refused(name, how, folder):
    mine = find_class("own_pkg.mine.Mine")
    before = imported_fingerprint(mine)
    assert imported_fingerprint(mine) == before
    path = folder / "own_pkg" / name
    path.write_text(path.read_text() + "# edited\n") if how == "edited" else path.unlink()
    with pytest.raises(ConfigError, match=rf"own_pkg/{name}.*start the command again"):
        imported_fingerprint(mine)


def test_a_file_that_changed_before_the_first_fingerprint_is_refused_too(folder):
    mine = find_class("own_pkg.mine.Mine")
    (folder / "own_pkg" / "parts.py").write_text("SCALE = 2\n")
    with pytest.raises(ConfigError, match=r"own_pkg/parts.py changed after this command imported it"):
        imported_fingerprint(mine)


def test_a_file_that_changed_before_a_function_imports_it_is_not_imported(lazy):
    found = find_class("own_lazy.Lazy")
    imported_fingerprint(found)
    (lazy / "own_lazy_part.py").write_text("# edited\n")
    with pytest.raises(ImportError, match=r"own_lazy_part.py changed .* start the command again"):
        found().forward()


def test_a_module_that_is_imported_anew_is_fingerprinted_anew(folder):
    before = imported_fingerprint(find_class("own_alone.Alone"))
    (folder / "own_alone.py").write_text("class Alone: scale = 2\n")
    importlib.reload(sys.modules["own_alone"])
    assert imported_fingerprint(find_class("own_alone.Alone")) not in (None, before)


def test_code_of_python_of_packages_and_of_this_program_is_not_ones_own(folder, tmp_path):
    installed = tmp_path / "env" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "other.py").touch()
    (folder / "own_link.py").symlink_to(installed / "other.py")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "site-packages").symlink_to(folder)
    assert is_library("json", importlib.import_module("json").__file__)
    assert is_library("other", installed / "other.py")
    assert is_library("own_link", folder / "own_link.py")
    assert is_library("own_alone", tmp_path / "linked" / "site-packages" / "own_alone.py")
    assert is_library("yolo26_attention.plan", folder / "own_alone.py")
    assert not is_library("own_alone", folder / "own_alone.py")


def test_bytecode_of_a_former_source_is_not_run(folder):
    path = folder / "own_alone.py"
    path.write_text("class Alone: scale = 1\n")
    py_compile.compile(str(path))
    times = path.stat()
    path.write_text("class Alone: scale = 2\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert find_class("own_alone.Alone").scale == 2


def test_bytecode_without_a_source_is_refused_in_words(folder):
    path = folder / "own_alone.py"
    py_compile.compile(str(path), cfile=str(path.with_suffix(".pyc")))
    path.unlink()
    with pytest.raises(ConfigError, match=r"own_alone.Alone: its source .*own_alone.py is not there, .* put the .py"):
        own_code(find_class("own_alone.Alone"))


def test_the_code_of_a_run_is_recognised_by_every_fingerprint_it_may_have_had(lazy):
    trained = {"_target_": "own_lazy.Lazy", "name": "lazy"}
    code = code_of("own_lazy", "Lazy")
    for source in (code.fingerprint, code.earlier_fingerprint, file_digest(code.file)):
        assert code_changed({**trained, "source": source}) is None
    assert code_changed(trained) is None
    assert "the code of own_lazy.Lazy (" in code_changed({**trained, "source": "another"})


def test_what_the_module_found_on_a_path_of_its_own_counts(folder):
    (folder / "own_alone.py").write_text(
        "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/shelf')\nimport own_hidden\nsys.path.pop(0)\n"
        "class Alone: pass\n"
    )
    (folder / "shelf").mkdir()
    (folder / "shelf" / "own_hidden.py").write_text("def late():\n    import own_other\n")
    (folder / "own_other.py").write_text("")
    assert code_of("own_alone", "Alone").imported == (folder / "own_other.py", folder / "shelf" / "own_hidden.py")


def test_a_branch_that_is_not_taken_counts_but_not_for_earlier_identities(folder):
    (folder / "own_alone.py").write_text(
        "try:\n    import own_other\nexcept ImportError:\n    import own_pkg\nclass Alone: pass\n"
    )
    (folder / "own_other.py").write_text("")
    code = code_of("own_alone", "Alone")
    assert code.imported == (folder / "own_other.py", folder / "own_pkg/__init__.py")
    assert code.at_import == (folder / "own_other.py",)
