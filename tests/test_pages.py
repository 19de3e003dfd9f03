"""Code in the documentation runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import Tensor

from mixedae.files import ROOT
from mixedae.models import HomologousContrastiveLoss
from mixedae.models.head import MixedAEPretrainHead
from mixedae.ops import given_by, homologous_attention_reference, mix, patchify, unmix

PRETRAIN = "mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint and the config that the page names."""
    folder = tmp_path_factory.mktemp("page")
    config = Config.fromfile(ROOT / PRETRAIN)
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save({"state_dict": model.state_dict()}, folder / "mixedae.pth")
    torch.save({"state_dict": model.state_dict()}, folder / "vit.pth")
    config.dump(folder / "mixedae.py")
    return folder


@pytest.mark.parametrize("number", range(len(blocks_of("python.md"))))
def test_every_block_runs_by_itself(number: int, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = blocks_of("python.md")[number].replace('"mm_configs/', f'"{ROOT}/mm_configs/')
    monkeypatch.chdir(files)
    exec(compile(text, f"python.md, block {number}", "exec"), {})


def test_what_the_blocks_say_of_shapes_is_so(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    found: dict[str, Any] = {}
    for text in blocks_of("python.md"):
        exec(text.replace('"mm_configs/', f'"{ROOT}/mm_configs/'), found)
    shapes = {name: tuple(value.shape) for name, value in found.items() if isinstance(value, Tensor)}
    assert shapes["cls"] == (2, 96) and shapes["tokens"] == (2, 65, 96)
    assert [tuple(m.shape) for m in found["maps"]] == [(1, 768, 14, 14)] * 4
    assert shapes["patches"] == (4, 64, 192) and shapes["parted"] == (4, 64, 192) and shapes["given"] == (1, 4, 64)
    assert set(found["losses"]) >= {"loss_recon", "loss_homocon"}
    assert shapes["out"] == (2, 12, 197, 64)


def test_the_toy_is_the_method() -> None:
    """Each step of the sixty lines equals the function that is the equation."""
    (text,) = blocks_of("method.md")
    toy: dict[str, Any] = {}
    exec(compile(text, "method.md", "exec"), toy)
    sources, group = toy["sources"][None], 4
    patches = patchify(toy["pictures"], toy["patch"])
    assert torch.equal(toy["patches"], patches)
    assert torch.equal(toy["mixed"][None], mix(patches, sources, group))
    assert torch.equal(toy["given"][None], given_by(sources, group))
    tokens = toy["tokens"]
    q, k, v = (toy[name](tokens)[None, None] for name in ("query", "key", "value"))
    attended = homologous_attention_reference(q, k, v, toy["keep"], toy["width"] ** -0.5)[0, 0]
    torch.testing.assert_close(toy["latent"], tokens + attended, rtol=1e-5, atol=1e-5)
    assert torch.equal(toy["parted"], unmix(toy["latent"][None], sources, toy["mask"], group))
    head = MixedAEPretrainHead(norm_pix=True, embed_dims=toy["width"])
    torch.testing.assert_close(toy["target"], head.targets(patches))
    contrast = HomologousContrastiveLoss(temperature=0.25)(toy["latent"][None], sources)
    torch.testing.assert_close(toy["loss_contrast"], contrast)
    assert all(toy[name].weight.grad is not None for name in ("embed", "query", "key", "value", "decode"))
