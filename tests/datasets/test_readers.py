"""The three libraries and pycocotools read the files of the mini benchmark as they read the real ones."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from mixedae.datasets.mini.write import CLASSES


@pytest.fixture(scope="module")
def coco(mini_data):
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(mini_data / "coco" / "annotations" / "instances_val2017.json")


def test_coco_areas_boxes_and_masks_agree(coco, mini_data):
    assert coco.dataset["info"] and coco.dataset["licenses"]
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    for annotation in annotations:
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        assert mask.sum() == annotation["area"] >= 24
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box and annotation["iscrowd"] == 0
    for image in coco.loadImgs(coco.getImgIds()):
        with Image.open(mini_data / "coco" / "val2017" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) and picture.mode == "RGB"
        masks = [coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(image["id"]))]
        assert 2 <= len(masks) <= 6 and np.sum(masks, axis=0).max() == 1


@pytest.mark.parametrize("metric", ["bbox", "segm"])
def test_the_truth_as_detections_has_ap_one(coco, metric):
    from pycocotools.cocoeval import COCOeval

    keys = ("image_id", "category_id", "bbox" if metric == "bbox" else "segmentation")
    found = [{**{key: a[key] for key in keys}, "score": 1.0} for a in coco.dataset["annotations"]]
    if metric == "segm":
        found = [
            {**d, "segmentation": coco.annToRLE(a)} for d, a in zip(found, coco.dataset["annotations"], strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(found), metric)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == 1.0, "AP over all thresholds"
    assert all(v == 1.0 for v in evaluation.stats[3:5]), "there are small and medium instances, all found"


def test_mmpretrain_reads_the_image_folders(mini_data):
    from mmpretrain.datasets import CustomDataset, ImageNet

    pipeline = [{"type": "LoadImageFromFile"}]
    root = str(mini_data / "imagenet")
    labelled = CustomDataset(data_root=root, data_prefix="train", pipeline=pipeline)
    assert list(labelled.CLASSES) == sorted(CLASSES) and np.bincount(labelled.get_gt_labels()).tolist() == [3] * 10
    assert labelled[0]["img"].shape == (64, 64, 3)
    unlabelled = CustomDataset(data_root=root, data_prefix="pretrain", with_label=False, pipeline=pipeline)
    assert len(unlabelled) == 80 and "gt_label" not in unlabelled[0]
    val = ImageNet(data_root=root, split="val", metainfo={"classes": sorted(CLASSES)}, pipeline=pipeline)
    assert len(val) == 20 and list(val.CLASSES) == sorted(CLASSES)


def test_mmseg_reads_the_scenes_as_ade20k(mini_data):
    from mmseg.datasets import BaseSegDataset  # ADE20KDataset is this class with 150 names, and refuses others

    dataset = BaseSegDataset(
        data_root=str(mini_data / "ade20k"),
        data_prefix={"img_path": "images/validation", "seg_map_path": "annotations/validation"},
        metainfo={"classes": ("background", *CLASSES), "palette": [[20 * k] * 3 for k in range(11)]},
        img_suffix=".png",
        reduce_zero_label=True,
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations", "reduce_zero_label": True}],
    )
    assert len(dataset) == 10 and dataset.metainfo["classes"][0] == "background"
    for sample in (dataset[k] for k in range(len(dataset))):
        raw = np.asarray(Image.open(sample["seg_map_path"]))
        assert sample["img"].shape == (128, 128, 3)
        assert np.array_equal(sample["gt_seg_map"] == 255, raw == 0)
        assert np.array_equal(sample["gt_seg_map"][raw > 0], raw[raw > 0] - 1)


@pytest.mark.train
def test_mmdet_reads_the_scenes_as_coco(mini_data, coco):
    from mmdet.datasets import CocoDataset
    from mmdet.registry import TRANSFORMS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    pipeline = [
        TRANSFORMS.build({"type": "LoadImageFromFile"}),
        TRANSFORMS.build({"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": True}),
    ]
    dataset = CocoDataset(
        data_root=str(mini_data / "coco"),
        ann_file="annotations/instances_val2017.json",
        data_prefix={"img": "val2017/"},
        metainfo={"classes": CLASSES},
        filter_cfg={"filter_empty_gt": True},
        pipeline=pipeline,
    )
    assert len(dataset) == 10
    for sample in (dataset[k] for k in range(len(dataset))):
        truth = coco.loadAnns(coco.getAnnIds(sample["img_id"]))
        assert sample["gt_bboxes_labels"].tolist() == [a["category_id"] - 1 for a in truth]
        assert not sample["gt_ignore_flags"].any()
        assert np.array_equal(sample["gt_masks"].masks, np.stack([coco.annToMask(a) for a in truth]))
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in truth)]
        assert sample["gt_bboxes"].tensor.tolist() == boxes


def test_instances_file_is_plain_json(mini_data):
    content = json.loads((mini_data / "coco" / "annotations" / "instances_train2017.json").read_text())
    assert list(content) == ["info", "licenses", "images", "annotations", "categories"]
    assert isinstance(content["annotations"][0]["segmentation"]["counts"], list)
