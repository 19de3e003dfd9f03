"""No training: each validation picture gets the class that its nearest training pictures, by features, vote for."""

train_cfg = dict(type="mixedae.KNNProbeLoop", ks=(10, 20, 100, 200), temperature=0.07, choose=False)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))  # the Runner requires one
