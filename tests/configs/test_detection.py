"""The detection recipes, number by number, and the mini detector end to end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope
from mmengine.runner import Runner

from mixedae.datasets.mini.write import CLASSES
from tests.configs.recipe import build_on_meta, find, learning_rates, leaves, load, parameter_groups, upstream

FULL = "detection/cascade-mask-rcnn_mixedae-vit-base_fpn_1x_coco"
MINI = "mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini"
SMALL = "mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_20e_coco-small"
ALL = leaves("detection", "mini/detection")
CONVNEXT = "convnext/cascade-mask-rcnn_convnext-t-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py"


def theirs() -> Config:
    """mmdet's ConvNeXt recipe, whose heads and augmentation are iBOT's."""
    return upstream("mmdet", CONVNEXT)


def without_backend(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reader = {"type": "mixedae.LoadPicture", "upright": False}  # stored pixels, where mmcv turns the picture alone
    plain = [{"type": "LoadImageFromFile"} if t == reader else t for t in pipeline]
    return [{k: v for k, v in t.items() if k != "backend_args"} for t in plain]


def dataset(cfg: Config, split: str) -> torch.utils.data.Dataset:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(cfg[f"{split}_dataloader"].dataset)


def metric(cfg: Config, classes: tuple[str, ...]) -> Any:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        built = METRICS.build(cfg.val_evaluator)
    built.dataset_meta = dict(classes=classes)
    return built


@pytest.fixture
def mini_cfg(mini_data: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    cfg = Config.fromfile(Path(load(MINI).filename))
    cfg.model.backbone.init_cfg.checkpoint = "random"
    return cfg


def test_heads_rpn_and_settings_are_upstreams() -> None:
    ours, other = load(FULL).model, theirs().model
    for part in ("rpn_head", "train_cfg", "test_cfg", "data_preprocessor"):
        assert ours[part] == other[part], part
    assert ours.roi_head == other.roi_head
    assert ours.rpn_head.anchor_generator.scales == [8] and ours.rpn_head.anchor_generator.ratios == [0.5, 1.0, 2.0]
    assert ours.rpn_head.anchor_generator.strides == [4, 8, 16, 32, 64]
    assert ours.roi_head.stage_loss_weights == [1, 0.5, 0.25]
    assert [stage.assigner.pos_iou_thr for stage in ours.train_cfg.rcnn] == [0.5, 0.6, 0.7]
    assert [head.bbox_coder.target_stds[0] for head in ours.roi_head.bbox_head] == [0.1, 0.05, 0.033]
    for head in ours.roi_head.bbox_head:
        assert (head.type, head.num_shared_convs, head.num_shared_fcs, head.fc_out_channels) == (
            "ConvFCBBoxHead",
            4,
            1,
            1024,
        )
        assert head.loss_bbox == dict(type="GIoULoss", loss_weight=10.0) and head.norm_cfg.type == "SyncBN"
        assert head.reg_decoded_bbox and not head.reg_class_agnostic and head.num_classes == 80
    assert (ours.train_cfg.rpn_proposal.max_per_img, ours.test_cfg.rpn.max_per_img) == (2000, 1000)
    assert (ours.test_cfg.rcnn.score_thr, ours.test_cfg.rcnn.nms.iou_threshold) == (0.05, 0.5)


def test_backbone_and_pyramid() -> None:
    model = load(FULL).model
    assert tuple(model.backbone.out_indices) == (3, 5, 7, 11) and not model.backbone.final_norm
    assert model.backbone.drop_path_rate == 0.2
    # iBOT's [672, 1092] makes 42 x 68 patches of 16
    assert tuple(side // 16 for side in (672, 1092)) == tuple(side / 16 for side in model.backbone.img_size) == (42, 68)
    pyramid, fpn = model.neck
    assert pyramid.get("rescales", (4, 2, 1, 0.5)) == (4, 2, 1, 0.5)
    assert (fpn.in_channels, fpn.out_channels, fpn.num_outs) == ([768] * 4, 256, 5)


def test_augmentation_is_upstreams() -> None:
    ours, other = load(FULL), theirs()
    assert without_backend(ours.train_pipeline) == without_backend(other.train_pipeline)
    assert without_backend(ours.test_pipeline) == without_backend(other.test_pipeline)
    (ms,), (small, crop, again) = find(ours.train_pipeline, "RandomChoice").transforms
    assert ms == again and [scale[0] for scale in ms.scales] == list(range(480, 801, 32)) and ms.scales[0][1] == 1333
    assert crop.crop_size == (384, 600) and [scale[0] for scale in small.scales] == [400, 500, 600]
    assert ours.val_dataloader.batch_size == 1


def test_batch_and_precision() -> None:
    cfg = load(FULL)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16 and cfg.auto_scale_lr.enable
    assert cfg.optim_wrapper.type == "AmpOptimWrapper" and not cfg.optim_wrapper.get("clip_grad")
    assert cfg.optim_wrapper.optimizer == dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)


def test_learning_rate_over_time() -> None:
    """Warm-up from 1/1000 over 500 iterations, a tenth from epoch 8, a hundredth from epoch 11, for each group."""
    cfg, length, scales = Config(load(FULL).to_dict()), 1000, (1.0, 0.75**13)
    warmup, steps = cfg.param_scheduler
    assert steps.by_epoch and not warmup.by_epoch
    steps.convert_to_iter_based = (
        True  # the helper steps once an iteration, mmengine here once an epoch: the same rates
    )
    rates = learning_rates(cfg, scales, epoch_length=length)
    assert len(rates) == 12 * length
    for group, scale in enumerate(scales):
        peak = 1e-4 * scale
        assert rates[0][group] == pytest.approx(1e-3 * peak)
        assert rates[250][group] == pytest.approx(peak * (0.001 + 0.999 * 250 / 499))
        for step, factor in ((499, 1), (7999, 1), (8000, 0.1), (10_999, 0.1), (11_000, 0.01), (11_999, 0.01)):
            assert rates[step][group] == pytest.approx(peak * factor), step


@pytest.mark.parametrize("name", [MINI, SMALL])
def test_mini_learning_rate_survives_one_epoch(name: str) -> None:
    """Warm-up and cosine overlap, so a user may ask for any number of epochs."""
    cfg = Config(load(name).to_dict())
    for epochs in (1, cfg.train_cfg.max_epochs):
        cfg.train_cfg.max_epochs = epochs
        rates = [r[0] for r in learning_rates(cfg, (1.0,), epoch_length=80)]
        assert len(rates) == 80 * epochs and rates[-1] < 0.01 * max(rates)
        assert 0.5 * cfg.optim_wrapper.optimizer.lr < max(rates) <= cfg.optim_wrapper.optimizer.lr


@pytest.mark.parametrize("name", ALL)
def test_a_leaf_is_short_and_complete(name: str) -> None:
    cfg = load(name)
    assert len(Path(cfg.filename).read_text().splitlines()) < 40
    assert cfg.default_scope == "mmdet" and cfg.model.backbone.init_cfg.checkpoint is None
    if "cascade" in name:
        assert cfg.model.type == "CascadeRCNN" and cfg.model.roi_head.num_stages == 3
    else:
        assert cfg.model.type == "MaskRCNN"
    assert cfg.val_evaluator.metric == ["bbox", "segm"]
    for split in ("train", "val"):
        data = cfg[f"{split}_dataloader"].dataset
        data = data.get("dataset", data)
        assert find(data.pipeline, "mixedae.LoadPicture").upright is False
        assert data.pipeline[-1].type == "PackDetInputs"
        assert split == "val" or data.filter_cfg.filter_empty_gt


@pytest.mark.parametrize("name", [MINI, SMALL])
def test_mini_keeps_the_rules_of_the_parent(name: str) -> None:
    ours, parent = load(name), load(FULL)
    assert [n.type for n in ours.model.neck] == [n.type for n in parent.model.neck]
    assert ours.model.roi_head.stage_loss_weights == parent.model.roi_head.stage_loss_weights
    for mine, other in zip(ours.model.roi_head.bbox_head, parent.model.roi_head.bbox_head, strict=True):
        for key in ("type", "bbox_coder", "loss_bbox", "loss_cls", "reg_decoded_bbox", "reg_class_agnostic"):
            assert mine[key] == other[key], key
    for mine, other in zip(ours.model.train_cfg.rcnn, parent.model.train_cfg.rcnn, strict=True):
        assert mine.assigner == other.assigner
    assert ours.optim_wrapper.paramwise_cfg == parent.optim_wrapper.paramwise_cfg
    patch = ours.model.backbone.patch_size
    strides = [patch / f for f in ours.model.neck[0].rescales]
    assert strides == ours.model.rpn_head.anchor_generator.strides == [4, 8, 16, 32]
    assert ours.train_dataloader.batch_size == ours.auto_scale_lr.base_batch_size
    classes = ours.model.roi_head.bbox_head[0].num_classes
    assert classes == ours.model.roi_head.mask_head.num_classes == (80 if name == SMALL else len(CLASSES))


@pytest.mark.train
def test_parameter_count() -> None:
    """153.4 M (measured with mmpretrain's ViT and mmseg's pyramid), part by part."""
    counts = {n: p.numel() for n, p in build_on_meta(load(FULL)).named_parameters()}
    parts = {part: sum(c for n, c in counts.items() if n.startswith(part)) for part in ("backbone", "neck.0", "neck.1")}
    d, hidden = 768, 3072
    block = 4 * d * d + 4 * d + 2 * d * hidden + hidden + d + 4 * d  # attention, MLP, two norms
    positions = (1 + 42 * 68) * d
    assert parts["backbone"] == 12 * block + positions + d + (16 * 16 * 3 * d + d)  # blocks, positions, [CLS], patches
    assert parts["neck.0"] == 3 * (4 * d * d + d) + 2 * d  # three transposed convolutions, one norm
    assert parts["neck.1"] == 4 * (d * 256 + 256) + 4 * (9 * 256 * 256 + 256)
    assert round(sum(counts.values()) / 1e6, 1) == 153.4


@pytest.mark.train
def test_layer_decay_and_weight_decay_of_every_parameter() -> None:
    """0.75 a layer in the backbone, scale 1 for pyramid, FPN, RPN and heads; 1-D tensors are not decayed."""
    cfg = load(FULL)
    model = build_on_meta(cfg)
    groups, shapes = parameter_groups(cfg, model), dict(model.named_parameters())
    assert groups.keys() == shapes.keys()
    for name, (lr, decay) in groups.items():
        if name.startswith("backbone.layers."):
            scale = 0.75 ** (12 - int(name.split(".")[2]))
        else:
            scale = 0.75**13 if name.startswith("backbone.") else 1.0
        assert lr == pytest.approx(1e-4 * scale), name
        assert decay == (0.0 if shapes[name].ndim <= 1 else 0.05), name  # positions and [CLS] decay, as published
    assert {n.split(".")[0] for n, (lr, _) in groups.items() if lr == 1e-4} == {"neck", "rpn_head", "roi_head"}


@pytest.mark.train
def test_mini_reads_the_mini_benchmark(mini_cfg: Config) -> None:
    assert mini_cfg.classes == CLASSES
    train, val = dataset(mini_cfg, "train"), dataset(mini_cfg, "val")
    assert len(train) and len(val)
    for i in range(len(train)):
        sample = train[i]
        truth = sample["data_samples"].gt_instances
        assert sample["inputs"].shape == (3, mini_cfg.img_size, mini_cfg.img_size)
        assert len(truth) == len(truth.masks.masks) > 0 and set(truth.labels.tolist()) <= set(range(len(CLASSES)))


def perfect(cfg: Config, data: torch.utils.data.Dataset) -> list[dict[str, Any]]:
    """The truth of every picture, as a detector that makes no mistake would predict it."""
    samples = []
    for i in range(len(data)):
        info = data.get_data_info(i)
        masks = np.stack([decode(inst["mask"], info["height"], info["width"]) for inst in info["instances"]])
        samples.append(
            dict(
                img_id=info["img_id"],
                ori_shape=(info["height"], info["width"]),
                instances=info["instances"],
                pred_instances=dict(
                    bboxes=torch.tensor([inst["bbox"] for inst in info["instances"]]),
                    labels=torch.tensor([inst["bbox_label"] for inst in info["instances"]]),
                    scores=torch.ones(len(info["instances"])),
                    masks=torch.from_numpy(masks),
                ),
            )
        )
    return samples


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    from pycocotools import mask

    if isinstance(segmentation, list):  # polygons
        segmentation = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):  # run lengths as numbers
        segmentation = mask.frPyObjects(segmentation, height, width)
    return mask.decode(segmentation).astype(bool)


@pytest.mark.train
def test_truth_as_predictions_scores_one(mini_cfg: Config) -> None:
    val = dataset(mini_cfg, "val")
    judge = metric(mini_cfg, val.metainfo["classes"])
    judge.process({}, perfect(mini_cfg, val))
    scores = judge.evaluate(len(val))
    assert scores["coco/bbox_mAP"] == scores["coco/segm_mAP"] == 1.0


@pytest.mark.train
def test_nothing_detected_gives_no_metric(mini_cfg: Config) -> None:
    """CocoMetric then returns an empty dict; the cards say `zero_when_absent`."""
    val = dataset(mini_cfg, "val")
    judge = metric(mini_cfg, val.metainfo["classes"])
    samples = perfect(mini_cfg, val)
    for sample in samples:
        sample["pred_instances"] = {k: v[:0] for k, v in sample["pred_instances"].items()}
    judge.process({}, samples)
    assert judge.evaluate(len(val)) == {}


@pytest.mark.train
def test_small_trains_and_measures_the_same_pictures(sample_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight pictures each; their truth scores 1.0, though the annotation file holds 150."""
    monkeypatch.setenv("MIXEDAE_DATA_COCO", str(sample_data / "coco_tiny"))
    cfg = Config.fromfile(Path(load(SMALL).filename))
    train, val = dataset(cfg, "train"), dataset(cfg, "val")
    trained = {train.get_data_info(i)["img_id"] for i in range(len(train))}
    measured = [val.get_data_info(i)["img_id"] for i in range(len(val))]
    assert len(measured) == 8 and trained == set(measured) and len(train) == 8 * cfg.repeats
    assert val[0]["data_samples"].instances  # what the metric compares with
    judge = metric(cfg, val.metainfo["classes"])
    judge.process({}, perfect(cfg, val))
    scores = judge.evaluate(len(val))
    assert scores["coco/bbox_mAP"] == scores["coco/segm_mAP"] == 1.0


@pytest.mark.train
def test_mini_takes_two_steps_and_predicts(mini_cfg: Config) -> None:
    """Finite losses from every part, a gradient everywhere, and predictions that do not depend on the batch."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(mini_cfg.model)
        model.init_weights()
        reached: set[str] = set()
        for name, parameter in model.named_parameters():
            parameter.register_hook(lambda _, name=name: reached.add(name))
        wrapper = build_optim_wrapper(model, mini_cfg.optim_wrapper)
        train = iter(Runner.build_dataloader(mini_cfg.train_dataloader, seed=0))
        for _ in range(2):
            losses = model.train_step(next(train), wrapper)
        assert {"loss_rpn_cls", "loss_rpn_bbox"} | {
            f"s{i}.loss_{p}" for i in range(3) for p in ("cls", "bbox", "mask")
        } <= set(losses)
        assert all(torch.isfinite(v).all() for v in losses.values())
        assert reached == {name for name, _ in model.named_parameters()}  # DDP refuses unused parameters
        model.eval()
        model.test_cfg.rcnn.score_thr = model.roi_head.test_cfg.score_thr = 0.0  # two steps are sure of nothing
        batch = next(iter(Runner.build_dataloader(mini_cfg.val_dataloader, seed=0)))
        together = model.test_step(batch)
        alone = model.test_step({key: value[:1] for key, value in batch.items()})
    found, single = together[0].pred_instances, alone[0].pred_instances
    assert len(found) == len(single) == mini_cfg.model.test_cfg.rcnn.max_per_img
    torch.testing.assert_close(found.scores, single.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.bboxes, single.bboxes, atol=1e-2, rtol=1e-4)
    assert found.masks.shape[1:] == (mini_cfg.img_size, mini_cfg.img_size)
