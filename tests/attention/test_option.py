"""Every range that --help shows is the one that the class checks, tried at 64 channels."""

import importlib
from dataclasses import fields

import pytest

from yolo26_attention.attention.options import ATTENTION_SCHEMAS, resolve_options

CHANNELS = 64
# Range: values that it allows, values that it does not; the largest are left out where they would fill the memory.
RANGES = {
    "divides the channels": ([1, 8, 32], [0, 5, 128]),
    "divides half of the channels, or all of them with split_input=false": ([1, 32], [0, 5, 64]),
    "divides channels / radix and the squeezed channels": ([1, 16, 32], [0, 5, 64]),
    "odd, 1 to 255": ([1, 9], [-1, 0, 2, 257]),
    "odd, 3 to 255": ([3, 9], [1, 4, 257]),
    "odd, 1 to 255, at most the channels": ([1, 63], [0, 2, 65, 257]),
    "1 or more": ([1, 2], [0, -1]),
    "above 0": ([1e-9, 5], [0, -1]),
    "above 0, leaving a key at least one channel": ([1 / 16, 2], [0, -1, 0.05]),
    "any number": ([-3, 0, 2.5], []),
    "1 to the channels": ([1, 64], [0, 65]),
    "1 to channels / divisor, or 16": ([1, 8, 16], [0, 9, 17]),
    "1 to channels / divisor, or 8": ([1, 8], [0, 9]),
    "1 to 2/3 of channels / divisor, or 16": ([1, 5, 16], [0, 6, 17]),
    "1 to 2/3 of channels / divisor, or 4": ([1, 4, 5], [0, 6]),
    "1 to channels * radix / 32, or 4": ([1, 4], [0, 5]),
}
OPTIONS = [
    pytest.param(name, field, id=f"{name}.{field.name}")
    for name, schema in ATTENTION_SCHEMAS.items()
    for field in fields(schema)
    if field.name not in {"name", "_target_"}
]


def build(name, **options):
    target, resolved = resolve_options(name, options)
    module, _, called = target.rpartition(".")
    return getattr(importlib.import_module(module), called)(CHANNELS, **resolved)


@pytest.mark.parametrize(("name", "field"), OPTIONS)
def test_an_option_says_what_it_means_and_takes(name, field):
    meaning = field.metadata["help"]
    assert meaning
    assert not meaning.endswith(".")
    numeric = field.type in (int, float, int | None)
    assert bool(field.metadata["range"]) == numeric


@pytest.mark.parametrize(("name", "field"), [case for case in OPTIONS if case.values[1].metadata["range"]])
def test_the_range_is_what_the_class_checks(name, field, unchecked):
    allowed, refused = RANGES[field.metadata["range"]]
    beside = {"combine": "fixed"} if field.name in {"rate1", "rate2"} else {}
    for value in allowed:
        build(name, **beside, **{field.name: value})
    for value in refused:
        with pytest.raises(ValueError, match=field.name):
            build(name, **{field.name: value})


def test_large_kernels_are_refused_where_the_range_ends():
    build("strip", kernel_att=255)
    build("acmix", kernel_att=255)
