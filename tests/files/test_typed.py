"""Dataclasses and the JSON on disk."""

from dataclasses import dataclass, field

import pytest

from yolo26_attention.files.typed import parse, plain


@dataclass(frozen=True)
class Inner:
    value: float
    known: float | None
    remark: str | None = None


@dataclass(frozen=True)
class Other:
    error: str


@dataclass(frozen=True)
class Outer:
    number: int
    either: Inner | Other
    inner: dict[str, Inner] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()


def test_what_is_none_by_default_is_left_out_and_what_is_not_is_null():
    assert plain(Inner(1.5, None)) == {"value": 1.5, "known": None}
    assert plain(Inner(1.5, 2.0, "why")) == {"value": 1.5, "known": 2.0, "remark": "why"}


def test_dataclasses_at_any_depth_become_plain():
    found = plain({"a": [Outer(1, Other("no"), {"p3": Inner(1.0, 2.0)}, (1, 2))], "b": None})
    inner = {"p3": {"value": 1.0, "known": 2.0}}
    assert found == {"a": [{"number": 1, "either": {"error": "no"}, "inner": inner, "numbers": [1, 2]}], "b": None}


def test_unknown_keys_are_ignored_and_the_type_that_fits_is_taken():
    assert parse(Outer, '{"number": 1, "either": {"error": "no", "new": 1}, "new": 2}') == Outer(1, Other("no"))
    fits = '{"number": 1, "either": {"value": 1, "known": null}, "numbers": [3]}'
    assert parse(Outer, fits) == Outer(1, Inner(1.0, None), numbers=(3,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"either": {"error": "no"}}', "^number is missing$"),
        ('{"number": "1", "either": {"error": "no"}}', "^number is '1': "),
        ('{"number": 1.5, "either": {"error": "no"}}', "^number is 1.5: "),
        ('{"number": 1, "either": 3}', "^either is 3: [^;]*$"),
        ('{"number": 1, "either": {"error": "no"}, "inner": {"p3": {"known": 1}}}', r"^inner\.p3\.value is missing$"),
        ("{", "^'{': Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_named_by_its_key(text, said):
    with pytest.raises(ValueError, match=said):
        parse(Outer, text)
