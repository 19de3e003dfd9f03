"""The eleven small sets: what each leaf builds, on pictures in the sets' true file layouts; the protocol's numbers."""

import os
from copy import deepcopy
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CIFAR10
from mmpretrain.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmpretrain.structures import DataSample

import mixedae.registry  # noqa: F401
from mixedae.datasets.held_out import PARTS
from mixedae.engine.preflight.data import check_datasets
from mixedae.files import ROOT
from tests.datasets.small_sets import LEAF_OF, PER_CLASS, WRITERS

SMALL = ROOT / "mm_configs" / "classification" / "small"
# classes, metric, and whether the set has a validation split of its own (recipes of ssl-transfer; Table 2)
SETS = {
    "aircraft": (100, "mean", True),
    "caltech101": (102, "mean", False),
    "cars": (196, "top1", False),
    "cifar10": (10, "top1", False),
    "cifar100": (100, "top1", False),
    "dtd": (47, "top1", True),
    "flowers": (102, "mean", True),
    "food": (101, "top1", False),
    "pets": (37, "mean", False),
    "sun397": (397, "top1", False),
    "voc2007": (20, "mAP", True),
}


@pytest.fixture(autouse=True)
def scope(monkeypatch):
    init_default_scope("mmpretrain")
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)  # the fixture is not the real archive


@cache
def read(name: str, root: str | None) -> Config:
    """A leaf, which reads its data's ``root`` from the environment."""
    return Config.fromfile(SMALL / f"{name}.py")


def load(name: str, *overlays: str) -> Config:
    config = deepcopy(read(name, os.environ.get(f"MIXEDAE_DATA_{name.upper()}")))
    for overlay in overlays:
        config.merge_from_dict(deepcopy(config[overlay].to_dict()))
    return config


def names_of(name: str, classes: int) -> list[str]:
    """The class names that the set's reader knows; Flowers102 has none."""
    cls = DATASETS.get(load(name).pictures.dataset.type)
    return list(cls.METAINFO.get("classes") or [f"class {i}" for i in range(classes)])


def test_every_set_has_a_leaf():
    bases = {"base", "mean_per_class"}
    assert {path.stem for path in SMALL.glob("*.py")} - bases == set(SETS) == set(LEAF_OF)


@pytest.mark.parametrize("name", SETS)
def test_protocol(name):
    """5,000 steps of 64, SGD with Nesterov 0.9, cosine to zero each step, 224; no layer decay, drop path or mixup."""
    config = load(name)
    assert (config.train_cfg.type, config.train_cfg.max_iters) == ("IterBasedTrainLoop", 5000)
    assert config.train_dataloader.batch_size == 64
    assert config.train_dataloader.sampler == dict(type="InfiniteSampler", shuffle=True)
    wrapper = config.optim_wrapper
    assert wrapper.type == "OptimWrapper"
    assert "constructor" not in wrapper
    optimizer = wrapper.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.nesterov) == ("SGD", 0.9, True)
    assert optimizer.weight_decay == pytest.approx(config.wd / config.lr)
    (cosine,) = config.param_scheduler
    assert (cosine.type, cosine.by_epoch, cosine.end, cosine.eta_min) == ("CosineAnnealingLR", False, 5000, 0.0)
    assert config.model.backbone.get("drop_path_rate", 0) == 0
    assert "train_cfg" not in config.model
    classes, metric, own = SETS[name]
    assert config.model.head.num_classes == config.data_preprocessor.num_classes == classes
    expected = {
        "top1": dict(type="Accuracy"),
        "mean": dict(type="SingleLabelMetric", items=("recall",), average="macro"),
        "mAP": dict(type="mixedae.VOC07Metric"),
    }[metric]
    assert config.test_evaluator == config.val_evaluator == expected
    for each in (
        config,
        load(name, "adamw"),
    ):  # EffectiveBatchHook then refuses another batch: wd / lr would not follow
        assert each.auto_scale_lr == dict(base_batch_size=64, enable=False)
        assert each.optim_wrapper.get("accumulative_counts", 1) == 1
    assert ("val" in config.pictures.get("splits", PARTS)) == own
    METRICS.build(config.test_evaluator)


@pytest.mark.parametrize("name", SETS)
def test_splits_on_the_true_layout(name, tmp_path, monkeypatch):
    """Counts a class in every split; choosing never sees a test picture; the final training sees all of the rest."""
    names = names_of(name, SETS[name][0])[:12]
    classes = len(names)
    root = tmp_path / LEAF_OF[name]
    root.mkdir()
    counts = WRITERS[name](root, names)
    monkeypatch.setenv(f"MIXEDAE_DATA_{name.upper()}", str(root))

    def items(config, part):
        dataset = DATASETS.build({**config[f"{part}_dataloader"].dataset, "expected": expected})
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        keys = [info.get("img_path") or info["img"].tobytes() for info in infos]
        labels = [info["gt_label"] for info in infos]
        return dataset, keys, [x for label in labels for x in (label if isinstance(label, list) else [int(label)])]

    final, choosing = load(name), load(name, "selection")
    check_datasets(final)
    check_datasets(choosing)
    expected = {"classes": classes, "each": counts, **{part: classes * count for part, count in counts.items()}}
    if "trainval" not in expected:  # what the leaf's splits call so
        own = final.pictures.splits.trainval
        expected["trainval"], expected["each"] = expected.pop(own), {"trainval": counts[own], "test": counts["test"]}
    if name == "voc2007":
        expected.pop("each")  # difficult objects give no label
    train, train_keys, train_labels = items(final, "train")
    _, test_keys, test_labels = items(final, "test")
    _, part_keys, part_labels = items(choosing, "train")
    validation, val_keys, val_labels = items(choosing, "val")

    def each(labels):
        return {labels.count(c) for c in range(classes)}

    every = counts.get("trainval", counts.get("train"))
    assert each(train_labels) == {every}
    assert each(test_labels) == {counts["test"]}
    held = counts["val"] if "val" in counts else round(0.2 * every)
    assert each(val_labels) == {held}
    assert each(part_labels) == {every - held}
    assert sorted(part_keys + val_keys) == sorted(train_keys)
    assert not set(test_keys) & set(train_keys)
    assert choosing.test_dataloader == final.test_dataloader

    assert train[0]["inputs"].shape == validation[0]["inputs"].shape == (3, 224, 224)
    sides = train.held_out()  # what frozen features are chosen on is the same division
    assert sorted(train_keys[i] for i in sides[0]) == sorted(part_keys)
    assert sorted(train_keys[i] for i in sides[1]) == sorted(val_keys)


def test_cifar_keeps_its_channels(tmp_path, monkeypatch):
    """The files hold RGB while OpenMMLab's loader gives BGR: swapping here would feed blue as red."""
    WRITERS["cifar10"](tmp_path, [""] * 10)
    monkeypatch.setenv("MIXEDAE_DATA_CIFAR10", str(tmp_path))
    config = load("cifar10")
    dataset = DATASETS.build({**config.test_dataloader.dataset, "expected": None})
    preprocessor = MODELS.build({"type": "ClsDataPreprocessor", **config.data_preprocessor})
    sample = dataset[3 * PER_CLASS]  # class 3: its red plane is 3 everywhere
    out = preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]})["inputs"][0]
    assert torch.allclose(out[0], torch.tensor((3 - 123.675) / 58.395))
    photo = load("pets").data_preprocessor
    assert photo.to_rgb is True


def test_voc_trains_on_the_mean_over_classes():
    """BCEWithLogitsLoss's mean: mmpretrain's head sums over classes, which would be 20 times the learning rate."""
    config = load("voc2007")
    head = MODELS.build({**config.model.head, "in_channels": 8})
    features = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    labels = [[0], [1, 2], [3], [19], [], [4]]  # a picture with only difficult objects has no label
    samples = [
        DataSample().set_gt_score(torch.zeros(20).index_fill(0, torch.tensor(x, dtype=torch.int64), 1.0))
        for x in labels
    ]
    loss = head.loss((features,), samples)["loss"]
    target = torch.stack([sample.gt_score for sample in samples])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(head((features,)), target)
    torch.testing.assert_close(loss, expected)


def test_a_voc_picture_with_only_difficult_objects_goes_all_the_way(tmp_path, monkeypatch):
    WRITERS["voc2007"](tmp_path, names_of("voc2007", 20))
    first = (tmp_path / "ImageSets" / "Main" / "test.txt").read_text().split()[0]
    xml = tmp_path / "Annotations" / f"{first}.xml"
    xml.write_text(xml.read_text().replace("<difficult>0", "<difficult>1"))
    monkeypatch.setenv("MIXEDAE_DATA_VOC2007", str(tmp_path))
    config = load("voc2007")
    dataset = DATASETS.build({**config.test_dataloader.dataset, "expected": None})
    preprocessor = MODELS.build({"type": "ClsDataPreprocessor", **config.data_preprocessor})
    batch = [dataset[i] for i in range(len(dataset))]
    data = preprocessor({k: [item[k] for item in batch] for k in batch[0]}, training=True)
    assert not data["data_samples"][0].gt_score.any()
    metric = METRICS.build(config.test_evaluator)
    for sample in data["data_samples"]:
        sample.set_pred_score(sample.gt_score + 0.0)
    metric.process(None, [sample.to_dict() for sample in data["data_samples"]])
    assert metric.evaluate(len(dataset))["voc07/mAP_11"] == pytest.approx(100)


def test_test_pictures_are_resized_to_224_and_not_to_256():
    pipeline = [TRANSFORMS.build(t) for t in load("pets").test_pipeline]
    assert [type(t).__name__ for t in pipeline] == ["LoadPicture", "ResizeEdge", "CenterCrop", "PackInputs"]
    assert (pipeline[1].scale, pipeline[1].edge, pipeline[1].interpolation) == (224, "short", "bicubic")


@pytest.mark.parametrize("name", SETS)
def test_variants_leave_the_sets_alone(name):
    """AdamW changes the optimiser only; frozen features go through the test pipeline, in order, to the set's metric."""
    plain, adamw = load(name), load(name, "adamw", "selection")
    assert adamw.model == plain.model and adamw.train_cfg == plain.train_cfg
    assert adamw.train_dataloader.dataset.part == "train" and adamw.val_dataloader.dataset.part == "val"
    warmup, cosine = adamw.param_scheduler
    assert (warmup.end, cosine.begin, cosine.end) == (250, 250, 5000)
    assert adamw.optim_wrapper.optimizer == dict(type="AdamW", lr=1.25e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert adamw.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.65
    for overlay, loop in (("linear", "mixedae.LinearProbeLoop"), ("knn", "mixedae.KNNProbeLoop")):
        for order in ((overlay, "resnet50"), ("resnet50", overlay)):
            frozen = load(name, *order)
            assert frozen.train_cfg == dict(type=loop)
            loader = frozen.train_dataloader
            assert loader.dataset.pipeline == frozen.test_dataloader.dataset.pipeline
            assert (loader.drop_last, loader.sampler.shuffle, loader.dataset.part) == (False, False, "trainval")
            assert frozen.test_evaluator == plain.test_evaluator
            assert (frozen.param_scheduler, frozen.auto_scale_lr) == (None, None)
            assert frozen.model.backbone == dict(
                type="mixedae.ResNet", depth=50, init_cfg=dict(type="mixedae.PretrainedResNet", checkpoint=None)
            )
            assert frozen.model.head.in_channels == 2048
            assert frozen.model.head.num_classes == SETS[name][0]


def test_simclr_takes_pictures_from_0_to_1():
    preprocessor = load("pets", "resnet50", "unit_range").data_preprocessor
    assert (preprocessor.mean, preprocessor.std, preprocessor.num_classes) == ([0.0] * 3, [255.0] * 3, 37)
