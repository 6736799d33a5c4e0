"""Values that are written for Hydra's command line are read back as they are."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from yolo26_attention.config.plain_yaml import as_override

READ = OverridesParser.create()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("\\'\"a1e.-{},: $", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), inner)
    ),
    max_leaves=5,
)


def read(text):
    """What Hydra's own parser reads, with plain values in place of quoted strings."""
    return READ.parse_override(f"key={text}").value()


@given(value=VALUES)
@example(value=r"(\d)\d+\.bmp")
@example(value="ends with \\")
@example(value="\\'\\\\'")
@example(value="数据/data.yaml")
@example(value="1e5")
@example(value="nan")
@example(value="tRue")
@example(value="@a")
@example(value="%")
@example(value="2024-13-45")
def test_hydra_reads_back_what_is_written(value):
    assert read(as_override(value)) == value


@pytest.mark.parametrize("text", ["yolo26n.pt", "a/b.yaml", "./x", "-x", "two_words", "data+more@1.0%"])
def test_plain_words_have_no_quotes(text):
    assert as_override(text) == text


def test_a_regular_expression_of_a_study_is_that_of_its_runs(composed):
    groups = as_override(r"(\d)\d+\.bmp")
    config = composed(f"data.groups={groups}")
    assert re.search(config.data.groups, "images/712.bmp")[1] == "7"
