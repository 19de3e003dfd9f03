"""Street photographs of people by a linear layer on frozen patches of the mini ViT: DINOv3's form, 6 epochs.

MIXEDAE_DATA_CLOTHES=DIR python tools/train.py mm_configs/mini/segmentation/linear_clothes-128x128.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

BatchNorm and a 1 x 1 convolution on the last layer behind the final norm, trained with AdamW at DINOv3's learning rate
and decay. Crops of 128, windows of 128 at short side 128, masks scored at their own size. Own choices: six epochs of
batches of 4, linear decay.
"""

_base_ = "mixedae-vit-mini_upernet_1xb4-6e_clothes-128x128.py"

model = dict(
    backbone=dict(out_indices=-1, final_norm=True, trainable_blocks=0),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="mixedae.PatchLinearHead",
        in_channels=_base_.embed_dims,
        num_classes=_base_.num_classes,
        norm_cfg=_base_.norm_cfg,
        loss_decode=_base_.cross_entropy,
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
)
