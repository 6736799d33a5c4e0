import os
import tempfile

# Before anything imports ultralytics: it writes a settings file on import.
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="yolo-config-"))
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
