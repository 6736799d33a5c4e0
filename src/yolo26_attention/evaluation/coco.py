"""Average precision by object size, computed by a COCO evaluator, for any data set.

Sizes are COCO's: an area below 32 x 32 pixels of the original image is small, above 96 x 96 large. The area is that of
the box, as data sets of boxes have no other. COCO's published figures use the area of the outline, so values on COCO
itself differ slightly from them.
"""

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from yolo26_attention.evaluation.detections import Detections

SIZES = ("small", "medium", "large")


def ap_by_size(detections: Detections) -> dict[str, float | None]:
    """AP50-95 of small, medium and large objects; None if the validation images have no object of that size.

    Sides are rounded to a hundredth of a pixel, about the accuracy of a label file with six decimals, so that an object
    of exactly 32 x 32 has that size regardless of rounding. As in COCO, the 100 most confident detections per image and
    class count, and an object on a boundary belongs to both sizes.
    """
    if not len(detections.object_cls):
        return dict.fromkeys(SIZES)
    classes = np.unique(np.concatenate((detections.object_cls, detections.cls)))
    corners = detections.object_boxes.astype(np.float64)
    sides = np.round(corners[:, 2:] - corners[:, :2], 2)
    truth = COCO(
        {
            "images": [
                {"id": number + 1, "file_name": str(name), "height": int(height), "width": int(width)}
                for number, (name, (height, width)) in enumerate(zip(detections.images, detections.shapes, strict=True))
            ],
            "categories": [{"id": int(number) + 1, "name": str(number)} for number in classes],
            "annotations": [
                {
                    "id": number + 1,
                    "image_id": int(image) + 1,
                    "category_id": int(cls) + 1,
                    "bbox": [*corner, *side],
                    "area": side[0] * side[1],
                    "iscrowd": 0,
                }
                for number, (image, cls, corner, side) in enumerate(
                    zip(
                        detections.object_image,
                        detections.object_cls,
                        corners[:, :2].tolist(),
                        sides.tolist(),
                        strict=True,
                    )
                )
            ],
        }
    )
    boxes = detections.boxes.astype(np.float64)
    rows = np.column_stack(
        (detections.image + 1, boxes[:, :2], boxes[:, 2:] - boxes[:, :2], detections.conf, detections.cls + 1)
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(rows), iouType="bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    found = {size: evaluation.stats_as_dict[f"AP_{size}"] for size in SIZES}
    return {size: float(ap) if ap >= 0 else None for size, ap in found.items()}
