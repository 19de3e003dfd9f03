"""ViTDet's Mask R-CNN, number by number."""

import pytest

from tests.configs.recipe import batch_in_name, build_on_meta, find, learning_rates, load, parameter_groups

NAME = "detection/mask-rcnn_mixedae-vit-base_vitdet_8xb8-amp-lsj-100e_coco"
WINDOWS = (0, 1, 3, 4, 6, 7, 9, 10)


@pytest.mark.train
def test_every_parameter() -> None:
    """Counts from detectron2's definition; 0.7 a layer; what detectron2 decays (biases do, norms and positions do not).

    detectron2 keeps the position of the [CLS] token that it does not use: 768 parameters that are not here.
    """
    cfg = load(NAME)
    model = build_on_meta(cfg)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    counts = {n: p.numel() for n, p in model.named_parameters()}
    d = 768
    block = 12 * d * d + 13 * d  # attention, MLP of 4, two norms
    relative = 8 * 2 * 27 * 64 + 4 * 2 * 127 * 64
    assert sum(c for n, c in counts.items() if n.startswith("backbone.")) == (
        12 * block + relative + 196 * d + 16 * 16 * 3 * d + d
    )
    for i in range(12):
        rows = 27 if i in WINDOWS else 127
        assert (
            shapes[f"backbone.layers.{i}.attn.rel_pos_h"] == shapes[f"backbone.layers.{i}.attn.rel_pos_w"] == (rows, 64)
        )
    four = 4 * d * d // 2 + d // 2 + 2 * (d // 2) + 4 * (d // 2) * (d // 4) + d // 4
    two = 4 * d * d // 2 + d // 2
    lateral = sum(c * 256 + 9 * 256 * 256 + 4 * 256 for c in (d // 4, d // 2, d, d))
    assert sum(c for n, c in counts.items() if n.startswith("neck.")) == four + two + lateral
    rpn = 2 * (9 * 256 * 256 + 256) + 256 * 3 + 3 + 256 * 12 + 12
    assert sum(c for n, c in counts.items() if n.startswith("rpn_head.")) == rpn
    box = 4 * (9 * 256 * 256 + 512) + 256 * 49 * 1024 + 1024 + 1024 * 81 + 81 + 1024 * 320 + 320
    assert sum(c for n, c in counts.items() if n.startswith("roi_head.bbox_head.")) == box
    mask = 4 * (9 * 256 * 256 + 512) + 4 * 256 * 256 + 256 + 256 * 80 + 80
    assert sum(c for n, c in counts.items() if n.startswith("roi_head.mask_head.")) == mask
    assert round(sum(counts.values()) / 1e6) == 111

    groups = parameter_groups(cfg, model)
    assert groups.keys() == counts.keys()
    for name, (lr, decay) in groups.items():
        if name.startswith("backbone.layers."):
            scale = 0.7 ** (12 - int(name.split(".")[2]))
        else:
            scale = 0.7**13 if name.startswith("backbone.") else 1.0
        assert lr == pytest.approx(1e-4 * scale), name
        in_block_norm = name.startswith("backbone.") and (".ln1." in name or ".ln2." in name)
        assert decay == (0.0 if in_block_norm or name == "backbone.pos_embed" else 0.1), name


def test_backbone() -> None:
    backbone = load(NAME).model.backbone
    assert tuple(backbone.global_layers) == tuple(sorted(set(range(12)) - set(WINDOWS))) and backbone.window_size == 14
    assert (backbone.drop_path_rate, backbone.img_size, tuple(backbone.relative_grid)) == (0.1, 224, (64, 64))
    assert not backbone.with_cls_token and not backbone.final_norm


def test_large_scale_jitter() -> None:
    cfg = load(NAME)
    resize, crop = find(cfg.train_pipeline, "RandomResize"), find(cfg.train_pipeline, "RandomCrop")
    assert (resize.scale, resize.ratio_range, resize.keep_ratio) == ((1024, 1024), (0.1, 2.0), True)
    assert (crop.crop_type, crop.crop_size, crop.recompute_bbox) == ("absolute", (1024, 1024), True)
    assert find(cfg.test_pipeline, "Resize").scale == (1024, 1024) and find(cfg.test_pipeline, "Pad").size == (
        1024,
        1024,
    )
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline


def test_schedule_and_precision() -> None:
    cfg, scales = load(NAME), (1.0, 0.7**13)
    rates = learning_rates(cfg, scales)
    assert len(rates) == 184_375
    for group, scale in enumerate(scales):
        peak = 1e-4 * scale
        assert rates[0][group] == pytest.approx(1e-3 * peak)
        assert rates[125][group] == pytest.approx(peak * (0.001 + 0.999 * 125 / 249))
        for step, factor in ((249, 1), (90_000, 1), (163_888, 1), (163_889, 0.1), (177_546, 0.01), (184_374, 0.01)):
            assert rates[step][group] == pytest.approx(peak * factor), step
    assert batch_in_name(NAME) == cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 64
    assert cfg.optim_wrapper.type == "AmpOptimWrapper" and cfg.auto_scale_lr.accumulate
    assert cfg.optim_wrapper.optimizer == dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1)
