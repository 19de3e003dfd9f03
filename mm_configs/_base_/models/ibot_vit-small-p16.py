"""iBOT, ViT-S/16: bytedance/ibot README (800 epochs) and main_ibot.py; [CLS] and patches share the head."""

_base_ = "./dino_vit-small-p16.py"

model = dict(
    type="mixedae.IBOT",
    backbone=dict(type="mixedae.MaskedViT"),
    head=dict(out_dim=8192),
    teacher_temperature=0.07,
    warmup_epochs=30,
    mask_ratios=(0.0, 0.3),
    mask_spreads=(0.0, 0.2),
)
