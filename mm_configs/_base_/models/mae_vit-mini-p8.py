"""mae_vit-base-p16.py at the mini ViT's sizes."""

_base_ = ["./mae_vit-base-p16.py", "./vit-mini_pretrain.py"]

model = _base_.mini_pretrain
