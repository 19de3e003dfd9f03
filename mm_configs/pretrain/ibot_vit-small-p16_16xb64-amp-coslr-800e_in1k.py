"""iBOT, ViT-S/16, 800 epochs of ImageNet-1K, batch 1,024: bytedance/ibot README.

    torchrun --nproc-per-node 16 tools/train.py <this file> --launcher pytorch

Crops: two of (0.25, 1) and ten of (0.05, 0.25); the teacher's temperature rises from 0.04 to 0.07 in 30 epochs.
"""

_base_ = [
    "../_base_/models/ibot_vit-small-p16.py",
    "../_base_/datasets/imagenet_multicrop.py",
    "../_base_/schedules/self_distillation.py",
    "../_base_/pretrain_runtime.py",
]

max_epochs, base_lr, batch_size, num_gpus = 800, 5e-4, 1024, 16
train_pipeline = _base_.train_pipeline
train_pipeline[1]["num_views"] = [1, 1, 10]
train_pipeline[1]["transforms"][0][0]["crop_ratio_range"] = (0.25, 1.0)
train_pipeline[1]["transforms"][1][0]["crop_ratio_range"] = (0.25, 1.0)
train_pipeline[1]["transforms"][2][0]["crop_ratio_range"] = (0.05, 0.25)
train_dataloader = dict(batch_size=batch_size // num_gpus, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(
    type="mixedae.EachClipAmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(lr=base_lr * batch_size / _base_.base_lr_images),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, *_base_.method_hooks]
