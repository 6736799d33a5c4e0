"""Every fault of tests/faults/: a clear error before anything is trained, or a recovery that the record tells of."""

import os
import re

import pytest

from tests.faults import FAULTS
from tests.faults.around import full_disk, read_only
from tests.faults.doing import Fault

MOUNTS = {read_only, full_disk}


def marks(fault: Fault) -> list[pytest.MarkDecorator]:
    needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
    return ([pytest.mark.slow] if fault.slow else []) + ([needs_root] if fault.happens in MOUNTS else [])


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.done, marks=marks(fault)) for fault in FAULTS])
def test_fault(fault, tmp_path):
    seen = fault.happens(tmp_path)
    assert re.search(fault.expected, seen, re.DOTALL), seen
