"""docs/notebook.ipynb runs from its first cell to its last, and its stored outputs name no machine."""

import copy
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import CONF

ROOT = CONF.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_stored_outputs_are_complete_and_name_no_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in cells(notebook)] == list(range(1, len(cells(notebook)) + 1))
    outputs = [output for cell in cells(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    text = "".join(str({key: value for key, value in output.items() if key != "data"}) for output in outputs)
    text += "".join(str(value) for output in outputs for key, value in output.get("data", {}).items() if "text" in key)
    assert not re.search(r"/(home|root|tmp|work|usr|Users|opt)/|site-packages|[A-Z]:\\\\", text)


def test_it_says_what_to_install_and_how_to_run_it_again():
    first = nbformat.read(NOTEBOOK, as_version=4).cells[0].source
    assert "pip install -e '.[notebook]'" in first
    assert "make notebook" in first


@pytest.mark.slow
def test_it_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = copy.deepcopy(notebook)
    for cell in cells(notebook):
        cell.source = cell.source.replace("outputs/notebook", f"{tmp_path}/notebook")
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert (tmp_path / "notebook.pdf").stat().st_size > 0
    assert shown(notebook) == shown(stored)


def shown(notebook):
    """Kinds of what each cell shows, without what Ultralytics prints when it is first imported."""
    outputs = [[output.output_type for output in cell.outputs] for cell in cells(notebook)]
    return [[kind for kind in kinds if kind != "stream"] for kinds in outputs]
