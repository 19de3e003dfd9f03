"""base.py for the sets that are measured by mean per-class accuracy."""

_base_ = "./base.py"

val_evaluator = dict(type="SingleLabelMetric", items=("recall",), average="macro")
test_evaluator = val_evaluator
