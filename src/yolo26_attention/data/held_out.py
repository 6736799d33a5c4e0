"""The test split: images on which nothing is chosen, where a trained network is scored once.

It is no part of a run's identity, because it changes no training. So a test split that cannot be used is not refused:
the run is trained, and the reason stands in its log and its record.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from yolo26_attention.data.contents import Contents
from yolo26_attention.data.data_yaml import DatasetError
from yolo26_attention.data.splits import label_files, list_images
from yolo26_attention.data.survey import Split, look_at
from yolo26_attention.files.digest import json_digest

NONE = "the data set has no test: split"


@dataclass(frozen=True)
class HeldOut:
    """A test split.

    Attributes:
        problem: why it is not used; "" if it is.
        split: its images and labels; None if it is not used.
        identity: hash of names and bytes of all its images and labels; "" if it is not used.
    """

    problem: str
    split: Split | None = None
    identity: str = ""

    @property
    def declared(self) -> bool:
        """Whether the data set has one, usable or not."""
        return self.problem != NONE


def find_held_out(
    value: str, sources: Sequence[Path], contents: Contents, digests: Mapping[str, AbstractSet[str]]
) -> HeldOut:
    """Inspect the test split of a data set.

    Args:
        value: the user's value for the data set, for messages.
        sources: folders and lists of the split; empty if the YAML has no test:.
        contents: reads files.
        digests: digests of the images of the other splits, by their name.
    """
    if not sources:
        return HeldOut(NONE)
    if missing := [source for source in sources if not source.exists()]:
        return HeldOut(f"test: names {missing[0]}, which does not exist")
    try:
        if not any(label.is_file() for label in label_files(list_images(value, "test", sources))):
            return HeldOut("no image of test: has a label")  # known before thousands of images are read
        look = look_at(value, "test", sources, contents, 1.0)
    except DatasetError as error:
        return HeldOut(str(error))
    for split, others in digests.items():
        if shared := len(look.digests & others):
            return HeldOut(f"{shared} of {look.split.images} images of test: are also in {split}")
    return HeldOut("", look.split, json_digest(look.listing))
