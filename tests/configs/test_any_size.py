"""The trained models of the three tasks take pictures of any size and aspect ratio, smaller than their crop too."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from tests.configs.recipe import load
from tests.configs.reduced import reduced

LEAVES = {
    "classification": "classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k",
    "segmentation": "segmentation/mixedae-vit-base_upernet_8xb2-amp-160k_ade20k-512x512",
    "Cascade": "detection/cascade-mask-rcnn_mixedae-vit-base_fpn_1x_coco",
    "ViTDet": "detection/mask-rcnn_mixedae-vit-base_vitdet_8xb8-amp-lsj-100e_coco",
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """Narrow, random weights, built once; crops of 64 px for segmentation, patches of 16."""
    torch.manual_seed(0)
    built = {}
    for key, name in LEAVES.items():
        cfg = reduced(load(name), name.split("/")[0])
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            data = cfg.get("data_preprocessor")
            model = MODELS.build({**({"data_preprocessor": data} if data else {}), **cfg.model})
            model.init_weights()
        model.eval()
        built[key] = model
    return built


@pytest.mark.train
@settings(max_examples=4, deadline=None)
@given(size=st.tuples(st.integers(17, 110), st.integers(17, 110)))
@example(size=(20, 200))  # 10 : 1, short side far below the crop
@example(size=(200, 20))
@torch.no_grad()
def test_any_size_and_aspect_ratio(models: dict[str, Any], size: tuple[int, int]) -> None:
    height, width = size
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    shapes = dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
    (sample,) = models["classification"].test_step(dict(inputs=[image], data_samples=[DataSample()]))
    assert torch.isfinite(sample.pred_score).all() and sample.pred_score.sum() == pytest.approx(1, abs=1e-4)

    (sample,) = models["segmentation"].test_step(dict(inputs=[image], data_samples=[SegDataSample(metainfo=shapes)]))
    assert sample.pred_sem_seg.data.shape == (1, height, width)
    assert torch.isfinite(sample.seg_logits.data).all()

    for kind in ("Cascade", "ViTDet"):
        model = models[kind]
        model.roi_head.test_cfg.score_thr = 0.0  # random weights are sure of nothing
        (sample,) = model.test_step(dict(inputs=[image], data_samples=[DetDataSample(metainfo=shapes)]))
        found = sample.pred_instances
        assert len(found) > 0 and found.masks.shape[1:] == (height, width)
        assert torch.isfinite(found.bboxes).all() and (found.bboxes >= 0).all()
        assert (found.bboxes[:, 2] <= width).all() and (found.bboxes[:, 3] <= height).all()
