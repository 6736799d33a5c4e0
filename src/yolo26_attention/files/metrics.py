"""Names of metrics: in the record, in Ultralytics' results, and for readers."""

MAP50_95 = "map50_95"
MAP50 = "map50"
PRECISION = "precision"
RECALL = "recall"
# In the order in which they are shown.
ULTRALYTICS = {
    MAP50_95: "metrics/mAP50-95(B)",
    MAP50: "metrics/mAP50(B)",
    PRECISION: "metrics/precision(B)",
    RECALL: "metrics/recall(B)",
}


def tracked(name: str) -> str:
    """The name in Weights & Biases of one of Ultralytics' metrics."""
    return name.replace("(B)", "")
