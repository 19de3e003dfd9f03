"""DINO, ViT-B/16, 400 epochs of ImageNet-1K, batch 1,024, without mixed precision: the arguments beside the weights.

    torchrun --nproc-per-node 16 tools/train.py <this file> --launcher pytorch

References:
    facebookresearch/dino README, args.txt of dino_vitbase16_pretrain: lr 7.5e-4 at this batch, clip 0.3, prototypes
    frozen for 3 epochs, teacher's temperature 0.04 to 0.07 in 50 epochs, crops 2 x (0.25, 1) and 10 x (0.05, 0.25).
"""

_base_ = "./dino_vit-small-p16_8xb64-amp-coslr-100e_in1k.py"

max_epochs, lr, batch_size, num_gpus, embed_dims = 400, 7.5e-4, 1024, 16, 768
model = dict(
    backbone=dict(arch=dict(embed_dims=embed_dims, num_layers=12, num_heads=12, feedforward_channels=4 * embed_dims)),
    head=dict(in_dim=embed_dims),
    teacher_temperature=0.07,
    warmup_epochs=50,
    frozen_epochs=3,
)
train_pipeline = _base_.train_pipeline
train_pipeline[1]["num_views"] = [1, 1, 10]
train_pipeline[1]["transforms"][0][0]["crop_ratio_range"] = (0.25, 1.0)
train_pipeline[1]["transforms"][1][0]["crop_ratio_range"] = (0.25, 1.0)
train_pipeline[1]["transforms"][2][0]["crop_ratio_range"] = (0.05, 0.25)
train_dataloader = dict(batch_size=batch_size // num_gpus, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    _delete_=True,
    type="mixedae.EachClipOptimWrapper",
    optimizer=dict(type="AdamW", betas=(0.9, 0.999), weight_decay=_base_.weight_decay[0], lr=lr),
    clip_grad=dict(max_norm=0.3),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(no_decay=()),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, eta_min=2e-6)
