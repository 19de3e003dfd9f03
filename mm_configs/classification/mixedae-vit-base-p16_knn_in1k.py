"""k-NN classification on ImageNet-1K with frozen features: nothing is trained.

python tools/train.py mm_configs/classification/mixedae-vit-base-p16_knn_in1k.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

k of 10, 20, 100, 200 and temperature 0.07: DINO's eval_knn.py (facebookresearch/dino). Features: the mean patch token
after the final norm. Overlay ``dino``: [CLS] after the final norm, as there. Overlay ``efficient``: efficient probing's
protocol (billpsomas/efficient-probing), [CLS] without the final norm, seven k and three temperatures, and the best of
the 21 on the validation pictures themselves: published for six ViT-B/16 (published.yaml), and too high for that.
"""

_base_ = [
    "../_base_/models/vit-base_classifier.py",
    "../_base_/datasets/imagenet_finetune.py",
    "../_base_/schedules/knn.py",
    "../_base_/classification_runtime.py",
]

model = dict(backbone=dict(out_type="raw", final_norm=True, trainable_blocks=0), train_cfg=dict(_delete_=True))
train_dataloader = dict(batch_size=128, drop_last=False, dataset=dict(pipeline=_base_.test_pipeline))
train_dataloader.update(sampler=dict(type="DefaultSampler", shuffle=False))
dino = dict(train_cfg=dict(pool="cls"))
efficient = dict(
    train_cfg=dict(pool="cls", ks=(5, 10, 15, 20, 50, 100, 200), temperature=(0.07, 0.1, 0.2)),
    model=dict(backbone=dict(final_norm=False)),
)
