"""Columns as wide as their widest cell."""

from yolo26_attention.text_tables import aligned


def test_words_to_the_left_and_numbers_to_the_right():
    rows = [("site", "GFLOPs", ""), ("backbone_p3", "0.1", "said"), ("p3", "12.25", "")]
    assert aligned(rows, right={1}) == ["site         GFLOPs", "backbone_p3     0.1  said", "p3            12.25"]
