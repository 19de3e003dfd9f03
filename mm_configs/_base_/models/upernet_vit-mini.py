"""upernet_vit-base.py with the mini ViT, narrow heads.

The patch is 8 instead of 16: the pyramid's factors are halved, so its levels keep the strides 4, 8, 16, 32.
"""

_base_ = ["upernet_vit-base.py", "vit-mini-p8.py"]

embed_dims = _base_.vit_mini.embed_dims
norm_cfg = dict(type="BN", requires_grad=True)  # for one process; SyncBN needs a GPU for each of several

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, **_base_.vit_mini),
        patch_size=_base_.vit_mini_patch,
        out_indices=_base_.vit_mini_taps,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=embed_dims, rescales=(2, 1, 0.5, 0.25), norm_cfg=norm_cfg),
    decode_head=dict(in_channels=[embed_dims] * 4, channels=64, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=embed_dims, channels=16, norm_cfg=norm_cfg),
)
