"""iBOT, mini ViT, on the mini benchmark, 6 epochs: as many pixels seen as by MAE in 18.

python tools/train.py mm_configs/mini/pretrain/ibot_vit-mini-p8_1xb64-coslr-6e_mini.py
"""

_base_ = "./dino_vit-mini-p8_1xb64-coslr-6e_mini.py"

model = dict(
    type="mixedae.IBOT",
    backbone=dict(type="mixedae.MaskedViT"),
    teacher_temperature=0.07,
    warmup_epochs=2,
    mask_ratios=(0.0, 0.3),
    mask_spreads=(0.0, 0.2),
)
