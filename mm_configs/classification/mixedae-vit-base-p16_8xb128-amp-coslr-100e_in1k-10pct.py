"""Fine-tune ViT-B/16 with 10 % of ImageNet-1K's labels; a fixed list of training pictures.

python tools/data.py subset data/imagenet --fraction 0.1
tools/dist_train.sh mm_configs/classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k-10pct.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

The list is drawn per class by a hash of the names, the same for everybody; it is not SimCLR's list. To use that one
(google-research/simclr, imagenet_subsets/10percent.txt): `tools/data.py subset data/imagenet --names FILE
--fraction 0.1`. No source gives MAE's hyper-parameters here, so they are the full recipe's. No expected value.
"""

_base_ = "mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"

train_dataloader = dict(dataset=dict(data_prefix="train", split="", ann_file="meta/train_10percent.txt"))
