"""UperNet with the mini ViT on street photographs of people, 36 classes of garments, skin and background, 6 epochs.

MIXEDAE_DATA_CLOTHES=DIR python tools/train.py
    mm_configs/mini/segmentation/mixedae-vit-mini_upernet_1xb4-6e_clothes-128x128.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

ADE20K's layout; mask value 0 is rare garments and ignored. Classes are those of its classes.txt. The metric is
computed at the pictures' own size (short side 256).
"""

_base_ = "mixedae-vit-mini_upernet_1xb4-6e_camvid-128x128.py"

data_root = "{{$MIXEDAE_DATA_CLOTHES:data/clothes}}"
classes = (
    "background",
    "accessories",
    "bag",
    "belt",
    "blazer",
    "blouse",
    "bodysuit",
    "boots",
    "cape",
    "cardigan",
    "coat",
    "dress",
    "hair",
    "hat",
    "jacket",
    "jeans",
    "jumper",
    "leggings",
    "pants",
    "purse",
    "romper",
    "sandals",
    "scarf",
    "shirt",
    "shoes",
    "shorts",
    "skin",
    "skirt",
    "stockings",
    "suit",
    "sunglasses",
    "sweater",
    "sweatshirt",
    "t-shirt",
    "top",
    "vest",
)
num_classes = len(classes)
scale = (512, 128)  # short side 128, long side at most 512
train_pipeline = [
    {**step, "scale": scale} if step["type"] == "RandomResize" else step for step in _base_.train_pipeline
]
test_pipeline = [{**step, "scale": scale} if step["type"] == "Resize" else step for step in _base_.test_pipeline]

photographs = dict(data_root=data_root, metainfo=dict(classes=classes))
validation = dict(img_path="images/validation", seg_map_path="annotations/validation")
model = dict(decode_head=dict(num_classes=num_classes), auxiliary_head=dict(num_classes=num_classes))
train_dataloader = dict(dataset=dict(**photographs, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**photographs, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**photographs, pipeline=test_pipeline, data_prefix=validation))
