"""Cascade Mask R-CNN on a plain ViT-B/16, as iBOT transfers to COCO (bytedance/ibot).

RPN, assigners, samplers, stage weights and test settings are mmdet's Cascade Mask R-CNN, inherited: iBOT's
``_base_/models/cascade_mask_rcnn_vit_fpn.py`` has the same numbers. What differs is stated here; its source is iBOT's
``cascade_rcnn/vit_base_giou_4conv1f_coco_3x.py`` unless said otherwise.
"""

_base_ = "mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py"

embed_dims = 768  # ViT-B
fpn_channels = 256
norm_cfg = dict(
    type="SyncBN", requires_grad=True
)  # mmengine turns it into BN on one process; it is used in the pyramid and the heads

model = dict(
    backbone=dict(
        _delete_=True,
        type="mixedae.MixedAEViT",
        arch="base",
        img_size=(672, 1088),  # iBOT's [672, 1092] gives 42 x 68 patches; for other inputs positions are interpolated
        patch_size=16,
        out_type="featmap",
        out_indices=(3, 5, 7, 11),
        final_norm=False,  # iBOT: out_with_norm=False
        drop_path_rate=0.2,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
    neck=[
        dict(type="mixedae.ViTPyramid", in_channels=embed_dims, norm_cfg=norm_cfg),  # strides 4, 8, 16, 32
        dict(type="FPN", in_channels=[embed_dims] * 4, out_channels=fpn_channels, num_outs=5),
    ],
    roi_head=dict(
        bbox_head=[
            dict(
                head,  # its box coder: standard deviations .1, .05, .033 by stage
                type="ConvFCBBoxHead",
                num_shared_convs=4,
                num_shared_fcs=1,
                conv_out_channels=fpn_channels,
                norm_cfg=norm_cfg,
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                loss_bbox=dict(type="GIoULoss", loss_weight=10.0),
            )
            for head in _base_.model.roi_head.bbox_head
        ]
    ),
)
