"""No training: a classifier of frozen patches is fitted in closed form or by L-BFGS. Overlay ``knn``: by neighbours.

CAPI's grids (facebookresearch/capi, eval_segmentation.py): eight strengths of the penalty; k of 1, 3, 10 and 30 by the
angle and by the Euclidean distance. The leaf says how many patches are drawn.
"""

train_cfg = dict(type="mixedae.DenseLogisticLoop")
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))  # the Runner requires one
param_scheduler = None
knn = dict(train_cfg=dict(type="mixedae.DenseKNNLoop"))
