"""The config of docs/methods.md: a recipe's data, schedule and hooks, with another model."""

_base_ = "../../mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"
custom_imports = dict(imports=["mixedae.registry", "my_method"])
model = dict(
    _delete_=True,
    type="mixedae.PlainAutoencoder",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(type="mixedae.MixedAEViT", arch=_base_.vit_mini, img_size=64, patch_size=8, out_type="raw"),
)
