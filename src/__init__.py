"""The commands. The library is `yolo26_attention`."""
