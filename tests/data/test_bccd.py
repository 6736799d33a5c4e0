"""The real data set of blood cells, where it is: YOLO26_BCCD names its folder, or it lies beside the repository."""

import os
from collections import Counter
from pathlib import Path

import pytest

from yolo26_attention.plan.data_options import find_dataset

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "bccd"
FOLDER = Path(os.environ.get("YOLO26_BCCD", BESIDE))
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="needs the data set BCCD: name its folder in the environment variable YOLO26_BCCD"
)


def test_it_has_the_published_splits_and_all_boxes_with_an_area(composed, tmp_path):
    dataset = find_dataset(composed("data=bccd", f"data.source={FOLDER}").data, tmp_path, False, 1.0)
    images = {name: split.images for name, split in dataset.splits.items()}
    assert {**images, "test": dataset.held_out.split.images} == {"train": 205, "val": 87, "test": 72}
    lines = [line for file in dataset.yaml.parent.glob("labels/*/*.txt") for line in file.read_text().splitlines()]
    boxes = Counter(dataset.names[int(line.split()[0])] for line in lines)
    assert boxes == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}
    assert dataset.remarks == (
        "2 of 4888 boxes have no area inside their image and are left out; the first is in BloodImage_00343.xml",
    )
