"""The feature cache: found again by content, and nothing that differs, is damaged or is random is ever used."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from PIL import Image
from torch import nn

from mixedae.engine.probes.features import cached_features, describe, features_of, pictures_sha256, read, write
from mixedae.errors import ConfigError

PIPELINE = [{"type": "LoadImageFromFile"}, {"type": "PackInputs"}]


class Pictures:
    """A few files as mmpretrain's datasets describe them; index i holds the numbers i, i + 1, ..."""

    def __init__(self, folder, count=5):
        self.files = [folder / f"{i}.png" for i in range(count)]
        for i, file in enumerate(self.files):
            if not file.exists():
                Image.new("RGB", (4, 4), (i, 2 * i, 7)).save(file)

    def __len__(self):
        return len(self.files)

    def get_data_info(self, index):
        return {"img_path": str(self.files[index]), "gt_label": 0}


class Model(nn.Module):
    """A backbone whose output has the number of dimensions asked for, and how often it was called."""

    def __init__(self, ndim=2):
        super().__init__()
        self.backbone = nn.Linear(3, 6)
        self.backbone.num_extra_tokens = 1
        self.ndim, self.calls = ndim, 0
        self.backbone.register_forward_hook(self.shape)

    def shape(self, module, inputs, output):
        self.calls += 1
        return (output.view(-1, *{2: (6,), 3: (3, 2), 4: (2, 3, 1)}[self.ndim]),)

    def data_preprocessor(self, batch, training):
        assert not training and not self.training
        return {"inputs": batch}


class Loader(list):
    def __init__(self, dataset):
        generator = torch.Generator().manual_seed(0)
        super().__init__(torch.randn(len(dataset), 3, generator=generator).split(2))
        self.dataset = dataset


@pytest.fixture
def runner():
    torch.manual_seed(0)
    config = {"model": {"backbone": {"type": "X", "init_cfg": {"checkpoint": "a"}}}, "data_preprocessor": {"mean": [1]}}
    return SimpleNamespace(model=Model(), cfg=ConfigDict(config), logger=MMLogger.get_instance("features"))


def config(pipeline=PIPELINE):
    return ConfigDict(dataset={"pipeline": pipeline})


def test_features_are_means_over_patches_or_places():
    loader = Loader(range(5))
    for ndim, expected in ((2, lambda x: x), (3, lambda x: x.view(-1, 3, 2)[:, 1:].mean(1))):
        torch.manual_seed(0)
        model = Model(ndim).train()
        out = nn.functional.linear(torch.cat(list(loader)), model.backbone.weight, model.backbone.bias)
        torch.testing.assert_close(features_of(model, loader), expected(out).detach())
        assert model.training
    model = Model(4)
    out = nn.functional.linear(torch.cat(list(loader)), model.backbone.weight, model.backbone.bias)
    torch.testing.assert_close(features_of(model, loader), out.view(-1, 2, 3).mean(2).detach())


def test_the_second_time_nothing_is_computed(runner, tmp_path):
    loader = Loader(Pictures(tmp_path))
    first = cached_features(runner, loader, config(), tmp_path / "cache")
    calls = runner.model.calls
    again = cached_features(runner, loader, config(), tmp_path / "cache")
    assert torch.equal(first, again) and calls == runner.model.calls == 3
    assert not [file for file in (tmp_path / "cache").iterdir() if file.suffix != ".safetensors"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in loader.dataset.files:
        (moved / file.name).write_bytes(file.read_bytes())
    cached_features(runner, Loader(Pictures(moved)), config(), tmp_path / "cache")
    assert runner.model.calls == calls, "the place of the pictures is no part of them"


@pytest.mark.parametrize("what", ["weights", "picture", "order", "pipeline", "preprocessor", "backbone"])
def test_what_features_depend_on_makes_them_new(runner, tmp_path, what):
    loader, pipeline = Loader(Pictures(tmp_path)), PIPELINE
    cached_features(runner, loader, config(), tmp_path / "cache")
    calls = runner.model.calls
    if what == "weights":
        with torch.no_grad():
            runner.model.backbone.bias[0] += 1e-6
    elif what == "picture":
        Image.new("RGB", (4, 4), (9, 9, 9)).save(loader.dataset.files[3])
    elif what == "order":
        loader.dataset.files.reverse()
    elif what == "pipeline":
        pipeline = [*PIPELINE, {"type": "CenterCrop", "crop_size": 2}]
    elif what == "preprocessor":
        runner.cfg.data_preprocessor.mean = [2]
    else:
        runner.cfg.model.backbone.out_type = "raw"
    cached_features(runner, loader, config(pipeline), tmp_path / "cache")
    assert runner.model.calls == calls + 3
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_checkpoints_path_and_the_classes_do_not_matter(runner, tmp_path):
    loader = Loader(Pictures(tmp_path))
    before = describe(runner, loader, config())
    runner.cfg.model.backbone.init_cfg.checkpoint = "b"
    runner.cfg.data_preprocessor.num_classes = 5
    assert describe(runner, loader, config()) == before


def test_random_crops_are_refused(runner, tmp_path):
    loader = Loader(Pictures(tmp_path))
    for pipeline in (
        [{"type": "RandomResizedCrop", "scale": 4}],
        [{"type": "Wrap", "inner": [{"type": "RandAugment"}]}],
    ):
        with pytest.raises(ConfigError, match=r"with Rand\w+ would be of random crops"):
            cached_features(runner, loader, config(pipeline), tmp_path / "cache")


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_damaged_file_is_never_used(tmp_path_factory, data):
    """Cut anywhere, or any byte changed: the features come out as they went in, or not at all."""
    path = tmp_path_factory.mktemp("cache") / "x.safetensors"
    features, header = torch.arange(12.0).view(4, 3), {"pictures": 4, "kind": "x"}
    write(path, features, header)
    assert torch.equal(read(path, header), features)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found = read(path, header)
    assert found is None or torch.equal(found, features)


def test_a_file_of_other_features_is_not_used(tmp_path):
    path = tmp_path / "x.safetensors"
    features = torch.zeros(4, 3)
    assert read(path, {"pictures": 4}) is None
    write(path, features, {"pictures": 4, "kind": "y"})
    assert read(path, {"pictures": 4, "kind": "x"}) is None
    write(path, features[:3], {"pictures": 4})
    assert read(path, {"pictures": 4}) is None
    path.write_bytes(b"")
    assert read(path, {"pictures": 4}) is None


def test_pictures_in_memory_count_by_their_pixels():
    class One(list):
        def get_data_info(self, index):
            return {"img": torch.full((2, 2, 3), self[index], dtype=torch.uint8).numpy()}

    assert pictures_sha256(One([3])) == pictures_sha256(One([3])) != pictures_sha256(One([4]))
