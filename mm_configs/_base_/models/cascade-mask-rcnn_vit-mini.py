"""cascade-mask-rcnn_vit-base.py with the mini ViT and narrow heads, for objects of 16 to 64 px and one CPU core.

Kept from the parent: RPN, three box stages with IoU .5, .6, .7 and their weights, class-specific GIoU regression, one
mask head per stage. The patch is 8 instead of 16: the pyramid's factors are halved, so its levels have the parent's
strides. The leaf sets what depends on the data (input size, number of classes).
"""

_base_ = ["cascade-mask-rcnn_vit-base.py", "vit-mini-p8.py"]

embed_dims = _base_.vit_mini.embed_dims
fpn_channels = 64
norm_cfg = dict(type="BN", requires_grad=True)  # for one process; SyncBN needs a GPU for each of several
strides = [4, 8, 16, 32]
num_proposals = 64
num_rois = 32  # sampled per picture and stage; the parent samples 512
mask_size = 14  # of the parent's 28

roi_extractor = dict(
    featmap_strides=strides[:3],
    finest_scale=20,  # objects below 40 px on stride 4, below 80 on stride 8
    out_channels=fpn_channels,
)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, **_base_.vit_mini),
        patch_size=_base_.vit_mini_patch,
        out_indices=_base_.vit_mini_taps,
        drop_path_rate=0.0,
    ),
    neck=[
        dict(_base_.model.neck[0], in_channels=embed_dims, rescales=(2, 1, 0.5, 0.25), norm_cfg=norm_cfg),
        dict(_base_.model.neck[1], in_channels=[embed_dims] * 4, out_channels=fpn_channels, num_outs=4),
    ],
    rpn_head=dict(
        in_channels=fpn_channels,
        feat_channels=fpn_channels,
        anchor_generator=dict(scales=[4], strides=strides),  # 16, 32, 64, 128 px
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        mask_roi_extractor=dict(roi_extractor, roi_layer=dict(output_size=mask_size // 2)),
        bbox_head=[
            dict(
                head,
                in_channels=fpn_channels,
                num_shared_convs=1,
                conv_out_channels=32,
                fc_out_channels=128,
                norm_cfg=norm_cfg,
            )
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(num_convs=1, in_channels=fpn_channels, conv_out_channels=fpn_channels),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=num_proposals),
        rcnn=[
            dict(stage, mask_size=mask_size, sampler=dict(stage.sampler, num=num_rois, pos_fraction=0.5))
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=num_proposals), rcnn=dict(max_per_img=30)),
)
