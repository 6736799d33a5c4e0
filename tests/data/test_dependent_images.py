"""Images that depend on each other are found by name or by a file."""

import re

import pytest

from yolo26_attention.data.dependent_images import GroupsError, check_groups, group_labels


def test_a_pattern_takes_the_part_that_images_have_in_common():
    images = ["val/0000001_02999_d_0000005.jpg", "val/0000001_03999_d_0000007.jpg", "val/0000006_00159_d_0000001.jpg"]
    assert group_labels(images, r"(\d+)_\d+_d_\d+").tolist() == ["0000001", "0000001", "0000006"]


def test_a_file_names_the_group_of_each_image(tmp_path):
    file = tmp_path / "groups.txt"
    file.write_text("val/a b.jpg one\nval/c.jpg two\n\n")
    assert group_labels(["val/c.jpg", "val/a b.jpg"], str(file)).tolist() == ["two", "one"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        pytest.param("(a", "data.groups=(a is neither a file nor a regular expression", id="no-pattern"),
        pytest.param("a", "data.groups=a has 0 pairs of parentheses; put one pair around", id="no-part"),
        pytest.param("(a)(b)", "data.groups=(a)(b) has 2 pairs of parentheses", id="two-parts"),
    ],
)
def test_what_forms_no_groups_is_refused(groups, message):
    with pytest.raises(GroupsError, match=re.escape(message)):
        check_groups(groups)


def test_a_line_without_a_group_is_refused(tmp_path):
    file = tmp_path / "groups.txt"
    file.write_text("val/a.jpg one\nval/b.jpg\n")
    with pytest.raises(GroupsError, match="line 2 has no group; write IMAGE GROUP"):
        check_groups(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a.jpg one\nb.jpg two\na.jpg two\n", "line 3 lists a.jpg again; give each image one", id="twice"),
        pytest.param("é.jpg one\n".encode("latin-1"), "is not text in UTF-8; save it as such", id="latin-1"),
        pytest.param(b"", "lists no image; write a line IMAGE GROUP for each", id="empty"),
        pytest.param(b" \n\n", "lists no image", id="blank"),
    ],
)
def test_a_file_that_forms_no_groups_is_refused(content, message, tmp_path):
    file = tmp_path / "groups.txt"
    file.write_bytes(content)
    with pytest.raises(GroupsError, match=re.escape(f"data.groups={file}") + f".*{message}"):
        check_groups(str(file))


def test_a_byte_order_mark_is_no_part_of_the_first_image(tmp_path):
    file = tmp_path / "groups.txt"
    file.write_bytes("a.jpg one\nb.jpg two\n".encode("utf-8-sig"))
    assert group_labels(["a.jpg", "b.jpg"], str(file)).tolist() == ["one", "two"]


def test_a_long_expression_is_no_file():
    check_groups("(" + "x" * 300 + ")")


def test_an_image_without_a_group_is_named():
    with pytest.raises(GroupsError, match=r"says nothing about the image b\.jpg; every image needs a group"):
        group_labels(["a_1.jpg", "b.jpg"], r"(\w+)_\d+")
