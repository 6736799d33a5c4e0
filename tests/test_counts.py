"""Counts of things as text."""

import pytest

from yolo26_attention.counts import number_of, some


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("0", "run"), "0 runs"),
        (("1", "run"), "1 run"),
        (("2", "run"), "2 runs"),
        (("1", "class", "classes"), "1 class"),
        (("1000", "class", "classes"), "1,000 classes"),
    ],
)
def test_a_count_with_its_noun(given, text):
    assert number_of(int(given[0]), *given[1:]) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("a", "a"), ("ab", "a, b"), ("abc", "a, b and 1 more")],
)
def test_the_first_names_and_how_many_more(names, text):
    assert some(names, most=2) == text
