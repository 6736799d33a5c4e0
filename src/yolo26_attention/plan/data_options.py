"""Check the data group and find its data set."""

from dataclasses import fields
from pathlib import Path

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import DigitsConfig, PublicDataConfig
from yolo26_attention.data.datasets import Dataset, DatasetError, resolve_dataset
from yolo26_attention.data.dependent_images import GroupsError, check_groups
from yolo26_attention.data.digits import build_digits
from yolo26_attention.files.folder import OutputFolder
from yolo26_attention.files.record import without_passwords

DIGITS_OPTIONS = ("train_images", "val_images", "test_images", "imgsz", "seed")


def own_data(data: DigitsConfig | PublicDataConfig) -> DigitsConfig | PublicDataConfig:
    """Treat `data.yaml=PATH` with the default group as the user's own data set instead of the digits.

    Raises:
        ConfigError: if an option has no effect, or `data.groups` is invalid.
    """
    if data.yaml is None and data.name != "digits":
        raise ConfigError(
            f"data.name={data.name} does not change the images; choose a data set with data=NAME or data.yaml=PATH"
        )
    if data.groups is not None:
        try:
            check_groups(data.groups)
        except GroupsError as error:
            raise ConfigError(str(error)) from error
    if data.name != "digits" or data.yaml is None:
        return data
    defaults = {field.name: field.default for field in fields(DigitsConfig)}
    for option in DIGITS_OPTIONS:
        if (value := getattr(data, option, defaults[option])) != defaults[option]:
            raise ConfigError(f"data.{option}={value} has no effect on data.yaml={data.yaml}; give one of the two")
    return PublicDataConfig(Path(data.yaml).stem, data.yaml, data.download, data.groups)


def find_dataset(
    data: DigitsConfig | PublicDataConfig, output_dir: Path, single_cls: bool, fraction: float | int
) -> Dataset:
    """Find the data set of the group after `own_data`; the digits are generated if they are missing.

    Raises:
        ConfigError: if it is missing or invalid.
    """
    cache = OutputFolder(output_dir).data
    try:
        if isinstance(data, DigitsConfig) and data.yaml is None:
            digits = {option: getattr(data, option) for option in DIGITS_OPTIONS}
            name, download = str(build_digits(cache, **digits)), False
        else:
            name, download = str(data.yaml), data.download
        return resolve_dataset(name, download=download, single_cls=single_cls, fraction=fraction, cache=cache)
    except (DatasetError, ValueError) as error:
        raise ConfigError(without_passwords(str(error))) from error
