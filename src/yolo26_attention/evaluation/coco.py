"""Average precision by size of the objects, by a COCO evaluator, for any data set.

Sizes are COCO's: an area below 32 x 32 pixels of the original image is small, above 96 x 96 large. The area is that of
the box, because a data set of boxes has no other; COCO's own figures take the area of the outline, so that on COCO
itself these differ somewhat from published ones.
"""

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from yolo26_attention.evaluation.detections import Detections

SIZES = ("small", "medium", "large")


def ap_by_size(detections: Detections) -> dict[str, float | None]:
    """AP50-95 of small, medium and large objects; None where the validation images have none of that size.

    Sides of objects are taken to a hundredth of a pixel, about as well as a label file of six decimals tells them, so
    that an object of exactly 32 x 32 is one, whichever way its numbers were rounded. As in COCO, the 100 most confident
    detections of an image and class count, and an object on the line belongs to both sizes.
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
