"""A task's recipe of one's own: the linear probe of the mini benchmark, on two layers side by side."""

_base_ = "../../mm_configs/mini/classification/small_mini.py"

model = dict(backbone=dict(out_type="raw", final_norm=True, out_indices=(2, 3)))
