_base_ = "./default_runtime.py"

default_scope = "mmpretrain"
default_hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3))
