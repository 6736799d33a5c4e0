"""Check the data group and find its data set."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import PASCAL_VOC, DigitsConfig, PublicDataConfig, VocDataConfig
from yolo26_attention.data.datasets import Dataset, DatasetError, resolve_dataset
from yolo26_attention.data.dependent_images import GroupsError, check_groups, group_labels
from yolo26_attention.data.digits import build_digits
from yolo26_attention.data.voc_conversion import Converted, convert_voc
from yolo26_attention.data.voc_download import fetch_voc
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.record import without_passwords

Data = DigitsConfig | PublicDataConfig | VocDataConfig
DIGITS_OPTIONS = ("train_images", "val_images", "test_images", "imgsz", "seed")


def own_data(data: Data) -> Data:
    """Treat `data.yaml=PATH` with the default group as the user's own data set instead of the digits.

    Raises:
        ConfigError: if an option has no effect, or `data.groups` is invalid.
    """
    if isinstance(data, DigitsConfig) and data.yaml is None and data.name != "digits":
        raise ConfigError(
            f"data.name={data.name} does not change the images; choose a data set with data=NAME or data.yaml=PATH"
        )
    if data.groups is not None:
        try:
            check_groups(data.groups)
        except GroupsError as error:
            raise ConfigError(str(error)) from error
    if isinstance(data, VocDataConfig) or data.name != "digits" or data.yaml is None:
        return data
    defaults = {field.name: field.default for field in fields(DigitsConfig)}
    for option in DIGITS_OPTIONS:
        if (value := getattr(data, option, defaults[option])) != defaults[option]:
            raise ConfigError(f"data.{option}={value} has no effect on data.yaml={data.yaml}; give one of the two")
    return PublicDataConfig(Path(data.yaml).stem, data.yaml, data.download, data.groups)


def find_dataset(data: Data, output_dir: Path, single_cls: bool, fraction: float | int) -> Dataset:
    """Find the data set of the group after `own_data`; digits are generated, and Pascal VOC converted, if missing.

    Raises:
        ConfigError: if it is missing or invalid.
    """
    cache = OutputFolder(output_dir).data
    remarks: tuple[str, ...] = ()
    try:
        download = False
        if isinstance(data, VocDataConfig):
            converted = _converted(data, cache)
            name, remarks = str(converted.yaml), converted.remarks
        elif isinstance(data, DigitsConfig) and data.yaml is None:
            digits = {option: getattr(data, option) for option in DIGITS_OPTIONS}
            name = str(build_digits(cache, **digits))
        else:
            name, download = str(data.yaml), data.download
        found = resolve_dataset(name, download=download, single_cls=single_cls, fraction=fraction, cache=cache)
        return replace(found, remarks=remarks)
    except (DatasetError, ValueError) as error:
        raise ConfigError(without_passwords(str(error))) from error


def check_groups_of(data: Data, dataset: Dataset) -> None:
    """Check that every image on which runs are scored has a group, if `data.groups` is given.

    Args:
        data: the data group.
        dataset: its data set.

    Raises:
        ConfigError: naming an image without a group.
    """
    if data.groups is None:
        return
    try:
        group_labels(dataset.scored_images, data.groups)
    except GroupsError as error:
        raise ConfigError(f"{error}, named as in {dataset.root}") from error


def _converted(data: VocDataConfig, cache: Path) -> Converted:
    """Convert the folder that the user names, or that of the archive, which is downloaded on request."""
    if data.source is not None:
        if data.download:
            raise ConfigError(f"data.source={data.source} with data.download=true; give one of the two")
        source = Path(data.source).expanduser().absolute()
    elif data.url is None:
        what = "Annotations/, JPEGImages/ and ImageSets/Main/"
        raise ConfigError(f"data={data.name} needs data.source=FOLDER, the folder that has {what}")
    else:
        folder = cache / f"{data.name}-archive-{hashlib.sha256(data.url.encode()).hexdigest()[:8]}"
        if not (folder.exists() or data.download):
            raise ConfigError(
                f"data={data.name} is not here: give its folder, data.source=FOLDER, or let it be fetched from "
                f"{data.url}: data.download=true"
            )
        source = fetch_voc(data.url, folder)
    name = source.resolve().name if data.name == PASCAL_VOC else data.name
    return convert_voc(name, source, cache, data.digest)
