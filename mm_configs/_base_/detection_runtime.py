"""default_runtime.py for what mmdet trains."""

_base_ = "default_runtime.py"

default_scope = "mmdet"
default_hooks = dict(visualization=dict(type="DetVisualizationHook", draw=False))
visualizer = dict(type="DetLocalVisualizer", name="visualizer")
