"""tools/analyze.py from end to end on tiny checkpoints, and what it says of bad input."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixedae.analysis.checkpoints import load_encoder, load_pretraining, parse_entries
from mixedae.analysis.measures.attention import attention_mass, best_iou, cls_attention, foreground_share
from mixedae.analysis.measures.information import squared_errors
from mixedae.analysis.measures.recognition import recognition
from mixedae.analysis.pictures import read_pictures
from mixedae.files import ROOT
from mixedae.models import MixedAEViT
from mixedae.ops import patchify, sample_sources
from tests.models.conftest import ARCH, DECODER, build

KINDS = {
    "mae": ("MAE", "plain"),
    "plain": ("MixedAE", "plain"),
    "mixed": ("MixedAE", "homologous"),
    "oracle": ("MixedAE", "oracle"),
}
CONFIG = """
custom_imports = dict(imports=["mixedae.registry"], allow_failed_imports=False)
default_scope = "mmpretrain"
model = dict(
    type="mixedae.{kind}",
    data_preprocessor=dict(type="mmpretrain.SelfSupDataPreprocessor", mean=[100.0] * 3, std=[50.0] * 3, to_rgb=True),
    backbone=dict(
        type="mixedae.MixedAEPretrainViT", arch={arch}, img_size=16, patch_size=4, attention="{attention}"
    ),
    neck=dict(type="mixedae.MixedAEPretrainDecoder", **{decoder}),
    head=dict(type="mixedae.MixedAEPretrainHead", embed_dims=32, projector_dims=8, contrastive_weight={weight}),
)
"""

spec = importlib.util.spec_from_file_location("analyze", ROOT / "tools/analyze.py")
analyze = importlib.util.module_from_spec(spec)
spec.loader.exec_module(analyze)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each kind, as mmengine leaves it: config, epoch_1.pth, epoch_2.pth."""
    root = tmp_path_factory.mktemp("runs")
    for name, (kind, attention) in KINDS.items():
        (root / name).mkdir()
        weight = 0.0 if kind == "MAE" else 0.1
        text = CONFIG.format(kind=kind, attention=attention, weight=weight, arch=ARCH, decoder=DECODER)
        (root / name / "config.py").write_text(text)
        for epoch in (1, 2):
            torch.manual_seed(epoch)
            model = build(kind, backbone=dict(attention=attention))
            torch.save({"state_dict": model.state_dict(), "meta": {"epoch": epoch}}, root / name / f"epoch_{epoch}.pth")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 pictures with one rectangle each, as plain files, in ADE20K's and in COCO's layout."""
    root = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for folder in ("images/validation", "annotations/validation", "coco/val2017", "coco/annotations", "empty"):
        (root / folder).mkdir(parents=True)
    images, annotations = [], []
    for i in range(17):
        pixels = draw.integers(0, 256, size=(24, 32, 3), dtype=np.uint8)
        mask = np.ones((24, 32), dtype=np.uint8)
        x, y, w, h = 4 + i % 5, 3, 9, 7 + i % 4
        mask[y : y + h, x : x + w] = 2 + i % 2
        Image.fromarray(pixels).save(root / f"images/validation/{i:02}.png")
        Image.fromarray(mask).save(root / f"annotations/validation/{i:02}.png")
        Image.fromarray(pixels).save(root / f"coco/val2017/{i:02}.png")
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        images.append(dict(id=i, file_name=f"{i:02}.png", height=24, width=32))
        annotations.append(
            dict(id=i + 1, image_id=i, category_id=1, iscrowd=0, bbox=[x, y, w, h], area=w * h, segmentation=[corners])
        )
    (root / "classes.txt").write_text("0\tunlabelled\n1\tbackground\n2\tbox\n3\tother box\n")
    coco = dict(images=images, annotations=annotations, categories=[dict(id=1, name="box")])
    (root / "coco/annotations/instances_val2017.json").write_text(json.dumps(coco))
    return root


def call(out: Path, *arguments: object) -> None:
    assert analyze.main([*map(str, arguments), "--out", str(out)]) == 0


def fails(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """The one line of error."""
    assert analyze.main([*map(str, arguments), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ") and "Traceback" not in error
    assert not list(out.glob("*")), "half of an answer was left behind"
    return error


def read(path: Path, kind: str) -> dict:
    content = json.loads(path.read_text())
    assert (content["schema"], content["version"]) == (f"mixedae.analysis.{kind}", 1)
    return content


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_recognition(runs: Path, data: Path, tmp_path: Path) -> None:
    mixed, plain = runs / "mixed", runs / "plain"
    call(
        tmp_path, "recognition", f"a={mixed}/epoch_1.pth", f"a={mixed}/epoch_2.pth", f"b={plain}/epoch_1.pth",
        "--run", f"a={mixed}", "--data", f"images={data}/images",
    )  # fmt: skip
    content = read(tmp_path / "recognition.json", "recognition")
    assert content["chance"] == pytest.approx(3 / 15) and content["num_images"] == 16
    (entry,) = parse_entries([f"{mixed}/epoch_2.pth"])
    loaded = load_pretraining(entry)
    pictures = read_pictures(str(data / "images"), 16, 100)
    expected, _ = recognition(loaded.model, loaded.normalise(pictures.pixels))
    assert content["by_layer"]["a"]["accuracy"][1] == pytest.approx(expected)
    one, two = np.array(content["by_layer"]["a"]["accuracy"])
    assert content["by_layer"]["a"]["mean"] == pytest.approx(((one + two) / 2).mean(axis=1))
    spread = (one.std(axis=1, ddof=1) + two.std(axis=1, ddof=1)) / 2
    assert content["by_layer"]["a"]["std_over_heads"] == pytest.approx(spread)
    epochs = content["by_epoch"]["a"]["checkpoints"]
    assert list(epochs) == ["1", "2"] and epochs["2"] == pytest.approx(expected.mean(axis=1))
    assert min(size_of(tmp_path / "recognition.png")) > 300


@pytest.mark.parametrize("layout", ["ade20k", "coco"])
def test_attention(layout: str, runs: Path, data: Path, tmp_path: Path) -> None:
    folder = data if layout == "ade20k" else data / "coco"
    call(
        tmp_path, "attention", f"mae={runs}/mae/epoch_1.pth", f"mixed={runs}/mixed/epoch_1.pth",
        f"mixed={runs}/mixed/epoch_2.pth", "start=random", "--data", f"{layout}={folder}", "--show", 3,
    )  # fmt: skip
    content = read(tmp_path / "attention.json", "attention")
    assert len(content["images"]) == 17 and content["left_out"] == 0
    pictures = read_pictures(f"{layout}={folder}", 16, 100)
    share = foreground_share(pictures.masks, 4)
    values = {"mass": [], "best_iou": []}
    for entry in parse_entries([f"{runs}/mixed/epoch_{i}.pth" for i in (1, 2)]):
        loaded = load_encoder(entry)
        maps = cls_attention(loaded.model, loaded.normalise(pictures.pixels)).double()
        values["mass"].append(attention_mass(maps, share).numpy())
        values["best_iou"].append(best_iou(maps, share).numpy())
    for key, both in values.items():
        assert content["per_image"]["mixed"][key] == pytest.approx(np.mean(both, axis=0), rel=1e-4)
        summary = content["summary"]["mixed"][key]
        assert summary["mean"] == pytest.approx(np.mean(both), rel=1e-4)
        assert summary["low"] < summary["mean"] < summary["high"]
        assert summary["checkpoints"] == pytest.approx([one.mean() for one in both], rel=1e-4)
        assert content["summary"]["best possible"]["best_iou"]["mean"] >= content["summary"]["mae"]["best_iou"]["mean"]
        difference = np.mean(both, axis=0) - np.array(content["per_image"]["mae"][key])
        assert content["difference_to_first"]["mixed"][key]["mean"] == pytest.approx(difference.mean(), abs=1e-5)
    assert content["summary"]["uniform"]["mass"]["mean"] == pytest.approx(pictures.masks.double().mean().item())
    assert {path.name for path in tmp_path.glob("*.png")} == {"attention.png", "attention_objects.png"}


def test_both_layouts_tell_the_same_masks(data: Path) -> None:
    ade, coco = read_pictures(f"ade20k={data}", 24, 100), read_pictures(f"coco={data}/coco", 24, 100)
    assert torch.equal(ade.masks, coco.masks) and torch.equal(ade.pixels, coco.pixels)
    assert ade.masks[0].nonzero().amin(dim=0).tolist() == [3, 0]  # x = 4 of 32 columns; 4 are cut off at each side
    assert ade.masks[0].sum().item() == 7 * 9
    boxes = read_pictures(f"ade20k={data}", 24, 100, foreground=[2])
    assert len(boxes.names) == 9 and boxes.left_out == 8


def test_attention_of_images_without_masks(runs: Path, data: Path, tmp_path: Path) -> None:
    call(tmp_path, "attention", f"mae={runs}/mae/epoch_1.pth", "--data", data / "images", "--size", 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention.json", "attention.png"]
    assert "summary" not in read(tmp_path / "attention.json", "attention")


def test_an_encoder_without_config_is_read_off_its_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    arch = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=64)
    model = MixedAEViT(arch=arch, img_size=16, patch_size=4, out_type="raw")
    model.init_weights()
    torch.save(model.state_dict(), tmp_path / "vit.pth")
    (entry,) = parse_entries([str(tmp_path / "vit.pth")])
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(cls_attention(load_encoder(entry).model, images), cls_attention(model, images))


def test_reconstruction(runs: Path, data: Path, tmp_path: Path) -> None:
    call(
        tmp_path, "reconstruction", f"mae={runs}/mae/epoch_1.pth", f"mixed={runs}/mixed/epoch_1.pth", "--mode", "full",
        "--data", data / "images",
    )  # fmt: skip
    content = read(tmp_path / "reconstruction.json", "reconstruction")["checkpoints"]
    assert content["mae"]["kind"] == "masked" and content["mixed"]["kind"] == "mixed, full"
    assert all(0 < row["masked_mse"] < 10 and len(row["images"]) == 8 for row in content.values())
    assert {path.stem for path in tmp_path.glob("*.png")} == {"reconstruction_mae", "reconstruction_mixed"}


def test_information(runs: Path, data: Path, tmp_path: Path) -> None:
    checkpoints = [f"{name}={runs}/{name}/epoch_1.pth" for name in KINDS]
    call(tmp_path, "information", *checkpoints, f"oracle={runs}/oracle/epoch_2.pth", "--data", data / "images")
    content = read(tmp_path / "information.json", "information")
    rows = content["conditions"]
    assert content["reference"] == "mae" and rows["mae"]["difference"] == 0
    assert content["masked_values_per_image"] == 12 * 48 and content["num_groups"] == 4
    assert rows["oracle"]["input"] == "mixture, oracle attention, with contrastive loss"
    assert len(rows["oracle"]["difference_by_checkpoint"]) == 2
    pictures = read_pictures(str(data / "images"), 16, 100).pixels[:16]
    sources = sample_sources(4, 16, 4, generator=torch.Generator().manual_seed(0))
    (entry,) = parse_entries(checkpoints[1:2])
    loaded = load_pretraining(entry)
    errors = squared_errors(loaded.model, patchify(loaded.normalise(pictures), 4), sources, 4).numpy()
    for fold in (0, 1):
        variance = errors[1 - fold :: 2].mean() / 576
        normal = torch.distributions.Normal(0.0, variance**0.5).log_prob(torch.zeros(1)).item()
        expected = 576 * normal - errors[fold::2] / (2 * variance)
        per_image = np.array(rows["plain"]["per_image"]).reshape(4, 4)[fold::2]
        np.testing.assert_allclose(per_image, expected, rtol=1e-4)
    assert min(size_of(tmp_path / "information.png")) > 300


def test_cost(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    call(tmp_path, "cost", ROOT / "mm_configs/pretrain/mae_vit-base-p16_8xb512-amp-coslr-800e_in1k.py")
    (row,) = read(tmp_path / "cost.json", "cost")["configs"]
    assert row["relative_flops"] == 1 and row["published_gpu_days"] == 43.7
    assert row["predicted_gpu_days"] == pytest.approx(16.4 * 800 / 300)
    assert (tmp_path / "cost.csv").read_text().splitlines()[0].startswith("config,epochs,parameters")
    assert min(size_of(tmp_path / "cost.png")) > 100


def test_bad_input_is_named(
    runs: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mae, mixed = runs / "mae/epoch_1.pth", runs / "mixed/epoch_1.pth"
    images = ["--data", data / "images"]
    (tmp_path / "alone").mkdir()
    alone = tmp_path / "alone/vit.pth"
    torch.save(torch.load(mixed, weights_only=True), alone)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/picture.png").write_bytes((data / "images/validation/00.png").read_bytes()[:200])
    out = tmp_path / "out"
    out.mkdir()
    cases: list[tuple[list[object], list[str]]] = [
        # checkpoint of another model, or not that of the config
        (["recognition", f"m={mae}", *images], ["ConfigError: m: a MAE", "only MixedAE"]),
        (["reconstruction", f"m={mae}", "--config", runs / "mixed/config.py", *images], ["WeightsError", "config"]),
        (["attention", alone, *images], ["ConfigError", "32 wide", "--config"]),
        (["reconstruction", alone, *images], ["ConfigError", "no config lies beside"]),
        (["information", mae, *images], ["ConfigError", "one of MixedAE at least"]),
        (["attention", f"m={runs}/nothing.pth", "--config", runs / "mae/config.py", *images], ["WeightsError"]),
        (["attention", mae, "--config", "nowhere.py", *images], ["ConfigError", "no config file nowhere.py"]),
        (["attention", f"a={mae}", "--config", f"b={runs}/mae/config.py", *images], ["no checkpoint has this name"]),
        (["attention", "a=random", *images], ["ConfigError", "give a checkpoint with a config before it"]),
        (["recognition", *images], ["ConfigError", "nothing to measure"]),
        (["recognition", "--run", data, *images], ["WeightsError", "no epoch_*.pth"]),
        # data
        (["attention", mae, "--data", data / "nowhere"], ["DataError", "nowhere is no folder"]),
        (["attention", mae, "--data", data / "empty"], ["DataError", "holds no pictures"]),
        (["attention", mae, "--data", f"voc={data}"], ["ConfigError", "kind `voc` is unknown"]),
        (["attention", mae, "--data", tmp_path / "broken"], ["DataError", "picture.png cannot be decoded"]),
        (["attention", mae, "--data", f"ade20k={data}", "--foreground", "9"], ["both foreground and background"]),
        (["attention", mae, "--data", f"ade20k={data}/coco"], ["DataError", "images"]),
        (["attention", mae, "--data", f"coco={data}"], ["DataError", "instances_val2017.json does not exist"]),
        (["attention", mae, *images, "--size", 30], ["ConfigError", "no multiple"]),
        (["attention", mae, *images, "--num-images", 0], ["ConfigError", "1 at least"]),
        (["reconstruction", mixed, *images, "--num-images", 3], ["ConfigError", "3 pictures, expected 4"]),
        (["information", mae, mixed, *images, "--num-images", 8], ["ConfigError", "four groups"]),
        (["cost", data / "nothing"], ["ConfigError", "no config"]),
    ]
    monkeypatch.chdir(ROOT)
    for arguments, words in cases:
        error = fails(capsys, out, *arguments)
        assert all(word in error for word in words), (arguments, error)


def test_help_names_every_command_and_loads_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("attention", "recognition", "reconstruction", "information", "cost"):
        with pytest.raises(SystemExit) as stop:
            analyze.main([command, "--help"])
        assert stop.value.code == 0 and "--out" in capsys.readouterr().out
    source = (ROOT / "tools/analyze.py").read_text().split("def ")[0]
    assert "torch" not in source and "matplotlib" not in source
