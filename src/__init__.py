"""Attention ablations on YOLO26.

Ultralytics reads the environment when it is first imported, so the one setting we rely on is made here: it must
never pip-install anything at run time (a checkpoint whose class is missing would make it install that name).
"""

import os

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
