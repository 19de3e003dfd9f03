"""DINO, ViT-S/16: facebookresearch/dino main_dino.py, the defaults of its arguments (lines 45 to 126)."""

embed_dims, img_size = 384, 224
model = dict(
    type="mixedae.DINO",
    data_preprocessor=dict(
        type="mmpretrain.SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch=dict(embed_dims=embed_dims, num_layers=12, num_heads=6, feedforward_channels=4 * embed_dims),
        img_size=img_size,
        patch_size=16,
        out_type="raw",
    ),
    head=dict(type="mixedae.DistillationHead", in_dim=embed_dims, out_dim=65536),
    drop_path_rate=0.1,
    momentum=0.996,
    centre_momentum=0.9,
    student_temperature=0.1,
    teacher_temperature=0.04,
    warmup_temperature=0.04,
    warmup_epochs=0,
    frozen_epochs=1,
)
