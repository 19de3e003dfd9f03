"""What the eleven small sets share (arXiv 2303.17152, Table 2, "following [17, 32, 33]": SSL-transfer's protocol).

A leaf trains on all training pictures and tests once. Its ``selection``, merged over it, is how hyper-parameters are
chosen: train on a part of the training pictures, validate on the rest.
"""

_base_ = [
    "../../_base_/models/vit-base_small-classifier.py",
    "../../_base_/datasets/small_classification.py",
    "../../_base_/schedules/small_sgd_5000i.py",
    "../../_base_/classification_runtime.py",
]

default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=_base_.max_iters))
