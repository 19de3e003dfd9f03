"""ViTDet's Mask R-CNN on ViT-B/16: windows of 14 with global layers, simple pyramid, channel norms in the heads.

facebookresearch/detectron2 ``configs/common/models/mask_rcnn_vitdet.py``; RPN, RoI sampling and test settings are
mmdet's Mask R-CNN, which has the same numbers.
"""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

img_size = 1024
norm_cfg = dict(type="mmpretrain.LN2d", eps=1e-6)

model = dict(
    data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad", size=(img_size, img_size), pad_mask=True)]),
    backbone=dict(
        _delete_=True,
        type="mixedae.MixedAEViT",
        arch="base",
        img_size=224,  # positions stay on pre-training's grid and are interpolated on use
        patch_size=16,
        with_cls_token=False,
        relative_position="decomposed",
        relative_grid=(img_size // 16, img_size // 16),
        window_size=14,
        global_layers=(2, 5, 8, 11),
        out_type="featmap",
        final_norm=False,
        drop_path_rate=0.1,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
    neck=dict(
        _delete_=True,
        type="mixedae.SimpleFeaturePyramid",
        in_channels=768,
        out_channels=256,
        num_outs=5,
        norm_cfg=norm_cfg,
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
