"""No training: features of the training pictures, then the vote of the nearest for each validation picture."""

train_cfg = dict(type="mixedae.KNNProbeLoop", ks=(10, 20, 100, 200), temperature=0.07, choose=False)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))  # the Runner asks for one
