"""default_runtime.py for what mmseg trains."""

_base_ = "default_runtime.py"

default_scope = "mmseg"
default_hooks = dict(visualization=dict(type="SegVisualizationHook", draw=False))
visualizer = dict(type="SegLocalVisualizer", name="visualizer")
