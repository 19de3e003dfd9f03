"""mmcv's operators without a compiler: each against loops over the definition, through mmcv's own Python wrappers."""

import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedae  # before mmcv.ops, which looks for mmcv._ext while it is imported
from mixedae.errors import OperatorNotCoveredError
from mixedae.ops import mmcv_fallback

# isort: split
from mmcv import ops

WRAPPERS = ("bbox", "deform_conv", "focal_loss", "nms", "roi_align", "roi_pool")
no_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, no_cuda])]
no_compiled_ops = pytest.mark.skipif(
    find_spec("mmcv._ext").origin != mmcv_fallback.__file__, reason="mmcv is installed with compiled operators"
)


@pytest.fixture(autouse=True, scope="module")
def through_the_fallback():
    """Point mmcv's wrappers at the stand-in, also where compiled operators are installed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in WRAPPERS:
            patch.setattr(import_module(f"mmcv.ops.{name}"), "ext_module", mmcv_fallback)
        yield


def python(code, path):
    """Run code in a fresh interpreter that finds modules in ``path`` first."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# Where it comes from


def test_import_is_light(tmp_path):
    heavy = {"torch", "torchvision", "numpy", "mmengine", "mmcv"}
    assert python(f"import mixedae; assert not {heavy} & set(sys.modules)", tmp_path).returncode == 0


@no_compiled_ops
def test_the_stand_in_is_an_ordinary_module():
    import mmcv._ext
    from mmengine.utils.dl_utils.misc import mmcv_full_available

    spec = find_spec("mmcv._ext")
    assert mmcv._ext.__spec__ is spec and mmcv._ext.__file__ == spec.origin == mmcv_fallback.__file__
    assert mmcv_full_available()
    assert "torchvision" in ops.get_compiler_version() and "torchvision" in ops.get_compiling_cuda_version()


def test_finder_answers_for_nothing_else():
    assert sys.meta_path.count(mixedae.MmcvOpsFinder) == 1
    for name in ("mmcv", "_ext", "mmcv._ext.nms", "mmdet._ext"):
        assert mixedae.MmcvOpsFinder.find_spec(name, None) is None


@pytest.mark.parametrize(
    ("compiled", "code", "printed"),
    [
        ("nms = 'compiled'", "import mmcv._ext; print(mmcv._ext.nms)", "compiled"),
        # One that does not fit this torch is not papered over either.
        ("raise ImportError('undefined symbol')", "import mmcv._ext", "undefined symbol"),
        (None, "from importlib.util import find_spec; print(find_spec('mmcv._ext').origin)", "mmcv_fallback.py"),
    ],
)
def test_compiled_operators_win(tmp_path, compiled, code, printed):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").touch()
    if compiled:
        (tmp_path / "mmcv/_ext.py").write_text(compiled)
    run = python(f"import mixedae; {code}", tmp_path)
    assert printed in run.stdout + run.stderr


def test_operators_that_are_not_covered_say_so_when_called():
    x, rois = torch.rand(1, 2, 8, 8), torch.tensor([[0.0, 1, 1, 6, 6]])
    calls = {
        "roi_pool_forward": lambda: ops.roi_pool(x, rois, 2),
        "deform_conv_forward": lambda: ops.deform_conv2d(x, torch.zeros(1, 18, 6, 6), torch.rand(4, 2, 3, 3)),
        "max": lambda: ops.roi_align(x, rois, 2, 1.0, 0, "max"),
        "nms_match": lambda: ops.nms_match(torch.tensor([[0.0, 0, 1, 1, 0.5]]), 0.5),
    }
    for name, call in calls.items():
        with pytest.raises(OperatorNotCoveredError, match=rf"(?s){name}.*pip install .*onedl-mmcv=="):
            call()
    with pytest.raises(AttributeError):
        _ = mmcv_fallback.__wrapped__


# Boxes: integers, so that every intersection over union is an exact fraction


def overlap(a, b, offset, over_first=False):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a, area_b = ((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return Fraction(w * h, area_a if over_first else area_a + area_b - w * h)


@st.composite
def scored_boxes(draw):
    """Up to 12 overlapping boxes, distinct scores, and a class each."""
    corner, side = st.integers(-5, 10), st.integers(1, 12)
    corners = draw(st.lists(st.tuples(corner, corner, side, side), max_size=12))
    order = draw(st.permutations(range(len(corners))))
    classes = draw(st.lists(st.integers(0, 2), min_size=len(corners), max_size=len(corners)))
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners]).reshape(-1, 4).float()
    return boxes, (torch.tensor(order, dtype=torch.float) + 1) / 16, torch.tensor(classes, dtype=torch.long)


def assert_suppressed(boxes, scores, kept, tenths, offset, classes=None):
    """Kept boxes are sorted and free of conflict, every other box conflicts with a better kept one: one set does."""
    box, limit = boxes.int().tolist(), Fraction(tenths, 10)

    def conflict(i, j):
        return (classes is None or classes[i] == classes[j]) and overlap(box[i], box[j], offset) > limit

    assert (scores[kept].diff() < 0).all()
    kept = kept.tolist()
    assert not any(conflict(i, j) for i in kept for j in kept if i != j)
    for i in set(range(len(box))) - set(kept):
        assert any(scores[j] > scores[i] and conflict(i, j) for j in kept)


@settings(deadline=None, max_examples=100)
@given(scored_boxes(), st.integers(1, 9), st.integers(0, 1), st.sampled_from([torch.float, torch.half, torch.bfloat16]))
def test_nms(data, tenths, offset, dtype):
    boxes, scores, _ = data
    dets, kept = ops.nms(boxes.to(dtype), scores.to(dtype), tenths / 10, offset)
    assert_suppressed(boxes, scores, kept, tenths, offset)
    assert dets.dtype == dtype and torch.equal(dets.float(), torch.cat([boxes, scores[:, None]], dim=1)[kept])


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_keeps_a_box_exactly_at_the_threshold(offset):
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 3, 1]]) - torch.tensor([0, 0, offset, offset])
    assert len(ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.3, offset)[1]) == 2  # IoU 3/10
    assert len(ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.2999, offset)[1]) == 1


def test_nms_filters_by_score_and_number():
    boxes = torch.tensor([[0.0, 0, 4, 4], [8, 8, 9, 9], [20, 0, 21, 1], [30, 0, 31, 1]])
    scores = torch.tensor([0.2, 0.9, 0.5, 0.6])
    assert ops.nms(boxes, scores, 0.5, score_threshold=0.3, max_num=2)[1].tolist() == [1, 3]


@settings(deadline=None, max_examples=50)
@given(scored_boxes(), st.integers(1, 9), st.sampled_from([1, 10000]))
def test_batched_nms_keeps_classes_apart(data, tenths, split_threshold):
    boxes, scores, classes = data
    if len(boxes):
        cfg = dict(type="nms", iou_threshold=tenths / 10, split_thr=split_threshold)
        _, kept = ops.batched_nms(boxes, scores, classes, cfg)
        assert_suppressed(boxes, scores, kept, tenths, 0, classes)


def soft_nms_loops(boxes, scores, limit, sigma, min_score, method, offset):
    left, found = dict(enumerate(scores)), []
    while left:
        best = max(left, key=left.get)
        found.append((best, left.pop(best)))
        for i in list(left):
            iou = float(overlap(boxes[best], boxes[i], offset))
            if method == "gaussian":
                left[i] *= math.exp(-(iou**2) / sigma)
            elif iou >= limit:
                left[i] *= 1 - iou if method == "linear" else 0
            if left[i] < min_score:
                del left[i]
    return found


@settings(deadline=None, max_examples=60)
@given(scored_boxes(), st.sampled_from(["naive", "linear", "gaussian"]), st.integers(0, 1))
def test_soft_nms(data, method, offset):
    boxes, scores = data[0].double(), data[1].double()
    lowered = soft_nms_loops(boxes.int().tolist(), scores.tolist(), 0.31, 0.4, 0.2, method, offset)
    dets, kept = ops.soft_nms(boxes, scores, 0.31, 0.4, 0.2, method, offset)
    assert torch.equal(dets[:, :4], boxes[kept])
    # Lowered scores can tie; then either order is right.
    torch.testing.assert_close(dets[:, 4], torch.tensor([s for _, s in lowered], dtype=torch.double))
    if len({round(s, 9) for _, s in lowered}) == len(lowered):
        assert kept.tolist() == [i for i, _ in lowered]


@settings(deadline=None, max_examples=50)
@given(scored_boxes(), scored_boxes(), st.sampled_from(["iou", "iof"]), st.booleans(), st.integers(0, 1))
def test_bbox_overlaps(first, second, mode, aligned, offset):
    a, b = first[0], second[0]
    if aligned:
        a, b = a[: len(b)], b[: len(a)]
    found = ops.bbox_overlaps(a, b, mode, aligned, offset)
    table = [[overlap(p, q, offset, mode == "iof") for q in b.int().tolist()] for p in a.int().tolist()]
    expected = [table[i][i] for i in range(len(a))] if aligned else table
    expected = torch.tensor(expected, dtype=torch.float).reshape(found.shape)
    torch.testing.assert_close(found, expected)


# RoIAlign is linear in its input: the weights of one bin give its value and its gradient

ROIS = torch.tensor(
    [
        [0, 2.3, 1.1, 17.9, 12.4],
        [1, -6.5, -3.2, 9.7, 30.1],  # reaches over the border on three sides
        [1, 11.0, 7.0, 11.4, 7.2],  # much smaller than a pixel of the map
        [0, 5.0, 5.0, 5.0, 5.0],  # empty
        [0, 90.0, 90.0, 99.0, 99.0],  # outside
    ],
    dtype=torch.double,
)


def bin_weights(roi, size, bins, scale, ratio, aligned):
    """(bins_h, bins_w, H, W): what each pixel of the map counts in each bin."""
    shift = 0.5 if aligned else 0.0
    axes = []
    for low, high, n_pixels, n_bins in ((roi[1], roi[3], size[0], bins[0]), (roi[0], roi[2], size[1], bins[1])):
        start, extent = low * scale - shift, (high - low) * scale
        if not aligned:
            extent = max(extent, 1.0)
        samples = ratio or math.ceil(extent / n_bins)
        axis = torch.zeros(n_bins, n_pixels, dtype=torch.double)
        for k in range(n_bins):
            for s in range(samples):
                at = start + extent / n_bins * (k + (s + 0.5) / samples)
                if -1 <= at <= n_pixels:
                    at = min(max(at, 0.0), n_pixels - 1.0)
                    for pixel in range(n_pixels):
                        axis[k, pixel] += max(0.0, 1 - abs(at - pixel)) / samples
        axes.append(axis)
    return torch.einsum("ih,jw->ijhw", *axes)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align(ratio, aligned, device):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 6, 7, dtype=torch.double, generator=generator).to(device).requires_grad_()
    grad = torch.randn(len(ROIS), 3, 4, 2, dtype=torch.double, generator=generator)
    out = ops.roi_align(x, ROIS.to(device), (4, 2), 0.4, ratio, "avg", aligned)
    out.backward(grad.to(device))

    expected_grad = torch.zeros(x.shape, dtype=torch.double)
    for k, (image, *box) in enumerate(ROIS.tolist()):
        weights = bin_weights(box, x.shape[2:], (4, 2), 0.4, ratio, aligned)
        expected = torch.einsum("ijhw,chw->cij", weights, x[int(image)].detach().cpu())
        torch.testing.assert_close(out[k].detach().cpu(), expected, msg=f"box {k}")
        expected_grad[int(image)] += torch.einsum("ijhw,cij->chw", weights, grad[k])
    torch.testing.assert_close(x.grad.cpu(), expected_grad)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_gradient_by_finite_differences(ratio, aligned):
    x = torch.randn(2, 1, 4, 5, dtype=torch.double, requires_grad=True)
    # Not contiguous afterwards, so that neither is the gradient which comes back.
    assert torch.autograd.gradcheck(
        lambda t: ops.RoIAlign((2, 3), 0.25, ratio, "avg", aligned)(t, ROIS).permute(0, 3, 2, 1), x
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_roi_align_in_half_precision_rounds_only_its_output(dtype, device):
    half = torch.randn(2, 3, 6, 7, device=device).to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    rois = ROIS.to(device, dtype)
    out, expected = ops.roi_align(half, rois, 2, 0.4), ops.roi_align(full, rois.float(), 2, 0.4)
    assert out.dtype == dtype and torch.equal(out, expected.to(dtype))
    with torch.autocast(device, dtype=torch.bfloat16):
        assert torch.equal(ops.roi_align(half, rois, 2, 0.4), out)
    out.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(half.grad, full.grad.to(dtype))


def test_roi_align_without_boxes():
    x = torch.randn(2, 3, 6, 7, requires_grad=True)
    out = ops.roi_align(x, torch.zeros(0, 5), (4, 2))
    assert out.shape == (0, 3, 4, 2)
    out.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


# Focal loss


def focal_loops(logits, target, weight, gamma, alpha):
    out = torch.zeros_like(logits)
    for n, row in enumerate(logits.tolist()):
        for c, logit in enumerate(row):
            p = 1 / (1 + math.exp(-logit))
            if c == target[n]:
                out[n, c] = -alpha * (1 - p) ** gamma * math.log(p)
            else:
                out[n, c] = -(1 - alpha) * p**gamma * math.log(1 - p)
            if weight is not None:
                out[n, c] *= weight[int(target[n])]
    return out


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.6)])
def test_sigmoid_focal_loss(gamma, alpha, weighted):
    logits = torch.linspace(-6, 5, 12, dtype=torch.double).reshape(4, 3).requires_grad_()
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.double) if weighted else None
    target = torch.tensor([0, 2, 1, 1 if weighted else 3])  # 3 is background
    args = (target, gamma, alpha, weight)
    expected = focal_loops(logits.detach(), target, weight, gamma, alpha)
    torch.testing.assert_close(ops.sigmoid_focal_loss(logits, *args, "none").detach(), expected)
    torch.testing.assert_close(ops.sigmoid_focal_loss(logits, *args, "mean").detach(), expected.sum() / 4)
    assert torch.autograd.gradcheck(lambda x: ops.sigmoid_focal_loss(x, *args, "sum"), logits)


def test_sigmoid_focal_loss_of_extreme_logits_is_finite():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.isfinite() and loss > 50 and logits.grad.isfinite().all()


# The detector that needs them


def narrow_cascade_mask_rcnn():
    """mmdet's Cascade Mask R-CNN with every part and few channels."""
    coder = dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4)
    ce, sigmoid_ce = dict(type="CrossEntropyLoss"), dict(type="CrossEntropyLoss", use_sigmoid=True)
    smooth_l1 = dict(type="SmoothL1Loss")
    sampler = dict(type="RandomSampler", num=32, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True)

    def assigner(iou):
        return dict(type="MaxIoUAssigner", pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou, ignore_iof_thr=-1)

    def box_head(std):
        return dict(
            type="Shared2FCBBoxHead",
            in_channels=16,
            fc_out_channels=16,
            num_classes=3,
            reg_class_agnostic=True,
            bbox_coder=dict(coder, target_stds=[std, std, 2 * std, 2 * std]),
            loss_cls=ce,
            loss_bbox=smooth_l1,
        )

    def extractor(size):
        layer = dict(type="RoIAlign", output_size=size, sampling_ratio=0)
        return dict(type="SingleRoIExtractor", roi_layer=layer, out_channels=16, featmap_strides=[4, 8, 16, 32])

    proposals = dict(nms_pre=100, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
    return dict(
        type="CascadeRCNN",
        data_preprocessor=dict(type="DetDataPreprocessor", pad_mask=True, pad_size_divisor=32),
        backbone=dict(type="ResNet", depth=18, base_channels=8, norm_eval=False, init_cfg=None),
        neck=dict(type="FPN", in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
        rpn_head=dict(
            type="RPNHead",
            in_channels=16,
            feat_channels=16,
            anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[4, 8, 16, 32, 64]),
            bbox_coder=dict(coder, target_stds=[1.0] * 4),
            loss_cls=sigmoid_ce,
            loss_bbox=smooth_l1,
        ),
        roi_head=dict(
            type="CascadeRoIHead",
            num_stages=3,
            stage_loss_weights=[1, 0.5, 0.25],
            bbox_roi_extractor=extractor(7),
            bbox_head=[box_head(0.1), box_head(0.05), box_head(0.033)],
            mask_roi_extractor=extractor(14),
            mask_head=dict(
                type="FCNMaskHead",
                num_convs=1,
                in_channels=16,
                conv_out_channels=16,
                num_classes=3,
                loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
            ),
        ),
        train_cfg=dict(
            rpn=dict(assigner=assigner(0.5), sampler=sampler, allowed_border=0, pos_weight=-1, debug=False),
            rpn_proposal=proposals,
            rcnn=[
                dict(assigner=assigner(iou), sampler=sampler, mask_size=28, pos_weight=-1, debug=False)
                for iou in (0.5, 0.6, 0.7)
            ],
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=20, mask_thr_binary=0.5),
        ),
    )


@pytest.mark.train
@pytest.mark.parametrize("device", DEVICES)
def test_cascade_mask_rcnn_trains_and_predicts(device):
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import register_all_modules
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope
    from mmengine.structures import InstanceData

    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(ConfigDict(narrow_cascade_mask_rcnn())).to(device)
    image = torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8)
    mask = torch.zeros(1, 64, 96, dtype=torch.uint8)
    mask[0, 8:48, 16:72] = 1
    instances = InstanceData(
        bboxes=torch.tensor([[16.0, 8, 72, 48]]), labels=torch.tensor([1]), masks=BitmapMasks(mask.numpy(), 64, 96)
    )
    meta = dict(
        img_shape=(64, 96), ori_shape=(64, 96), pad_shape=(64, 96), batch_input_shape=(64, 96), scale_factor=(1, 1)
    )
    sample = DetDataSample(metainfo=meta, gt_instances=instances)
    batch = dict(inputs=[image], data_samples=[sample])

    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    assert {f"s{i}.loss_{name}" for i in range(3) for name in ("cls", "bbox", "mask")} <= set(losses)
    assert all(v.isfinite() for vs in losses.values() for v in (vs if isinstance(vs, list) else [vs]))
    losses["s2.loss_mask"].backward()  # reaches the backbone only through RoIAlign
    assert model.backbone.conv1.weight.grad.abs().sum() > 0

    with torch.no_grad():
        (result,) = model.eval()(**model.data_preprocessor(batch), mode="predict")
    found = result.pred_instances.cpu()
    assert len(found) == 20 and found.masks.shape == (20, 64, 96)
    assert (found.bboxes >= 0).all() and (found.bboxes <= torch.tensor([96.0, 64, 96, 64])).all()
    iou = ops.bbox_overlaps(found.bboxes, found.bboxes)
    same_class = found.labels[:, None] == found.labels
    assert (iou[same_class & ~torch.eye(20, dtype=torch.bool)] <= 0.5).all()
    assert max(Counter(found.labels.tolist()).values()) > 1  # else the line above would check nothing


@pytest.mark.train
@no_compiled_ops
def test_imports_in_the_order_of_mmdets_own_train_script(tmp_path):
    code = (
        "from mmdet.utils import setup_cache_size_limit_of_dynamo; "  # the script's imports come before the config's
        "import mixedae.registry, mmdet.structures.mask.structures as s; from mmcv.ops import roi_align; "
        "assert s.roi_align is roi_align"
    )
    run = python(code, tmp_path)
    assert run.returncode == 0, run.stderr
