"""SimCLR, ResNet-50: mmpretrain's recipe with this project's hooks and strict checkpoints, for a row of Table 2.

python tools/train.py mm_configs/pretrain/resnet50/simclr_resnet50_16xb256-coslr-800e_in1k.py
"""

_base_ = "mmpretrain::simclr/simclr_resnet50_16xb256-coslr-800e_in1k.py"

custom_imports = dict(imports=["mixedae.registry"], allow_failed_imports=False)
runner_type = "mixedae.StrictRunner"
default_scope = "mmpretrain"
default_hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2))
custom_hooks = [
    dict(type="mixedae.NonFiniteLossHook"),
    dict(type="mixedae.EffectiveBatchHook"),
    dict(type="mixedae.ProgressHook"),
    dict(type="mixedae.OutcomesHook"),
    dict(type="mixedae.RunRecordHook"),
]
batch_size, num_gpus = 4096, 16
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
train_dataloader = dict(
    batch_size=batch_size // num_gpus,
    dataset=dict(data_root="{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}"),
    collate_fn=dict(_delete_=True, type="default_collate"),  # without the scope that inheriting adds, which it refuses
)
