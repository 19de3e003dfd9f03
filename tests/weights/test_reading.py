"""Files are data: damaged or unsafe ones are refused by name, mmengine's own checkpoints load."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from mixedae.errors import WeightsError
from mixedae.weights import ahead, read_checkpoint, read_state_dict, read_weights

TENSORS = {"a.weight": torch.arange(300.0).view(20, 15), "a.bias": torch.ones(7), "n": torch.tensor(3)}


def mmengine_checkpoint() -> dict:
    history = HistoryBuffer()
    history.update(1.0)
    return {
        "meta": {"epoch": 1, "cfg": "model = dict()", "palette": np.arange(6).reshape(2, 3), "value": np.float32(2.0)},
        "state_dict": TENSORS,
        "message_hub": {"log_scalars": {"loss": history}, "runtime_info": {"best": np.float64(0.5)}},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.95)}]},
        "args": argparse.Namespace(model="mae_vit_base_patch16", blr=1.5e-4),
    }


def assert_same(found: dict, expected: dict = TENSORS) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "good.pth"
    torch.save(mmengine_checkpoint(), path)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t},
        lambda t: {"model": t, "epoch": 3},
        lambda t: {"state_dict": {f"module.{k}": v for k, v in t.items()}},
    ],
    ids=["bare", "state_dict", "model", "ddp"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_wrappings_and_both_torch_formats(tmp_path: Path, wrap, legacy: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save(wrap(dict(TENSORS)), path, _use_new_zipfile_serialization=not legacy)
    assert_same(read_state_dict(path))


def test_safetensors_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    for name in ("x.safetensors", "x.pth"):
        save_file(TENSORS, tmp_path / name)
        assert_same(read_state_dict(tmp_path / name))


def test_training_checkpoints_load_and_leave_no_class_allowed(good: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    assert_same(read_state_dict(good))
    assert set(torch.serialization.get_safe_globals()) == before


def test_the_whole_of_a_training_checkpoint_is_read_back(good: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    found, expected = read_checkpoint(good), mmengine_checkpoint()
    assert_same(found.pop("state_dict"))
    assert set(torch.serialization.get_safe_globals()) == before
    history = found["message_hub"]["log_scalars"]["loss"]
    assert type(history) is HistoryBuffer and history.mean() == 1.0
    history.update(3.0)
    assert [list(array) for array in history.data] == [[1.0, 3.0], [1.0, 1.0]]
    assert found["message_hub"]["runtime_info"] == {"best": np.float64(0.5)}
    meta = found["meta"]
    assert np.array_equal(meta.pop("palette"), np.arange(6).reshape(2, 3))
    assert meta == {"epoch": 1, "cfg": "model = dict()", "value": np.float32(2.0)}
    assert found["optimizer"] == expected["optimizer"]


@pytest.mark.parametrize(
    "value",
    [np.arange(3, dtype=code) for code in "bBhHiIqQefd"]
    + [np.array([True]), np.array(["a", "bc"]), np.zeros(0), np.float16(1.5), np.int64(7), np.bool_(True)],
    ids=repr,
)
def test_arrays_and_numbers_come_back_as_they_were(tmp_path: Path, value: object) -> None:
    torch.save({"meta": {"x": value, "part": slice(1, 2)}, "state_dict": TENSORS}, tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth")["meta"]["x"]
    assert type(found) is type(value) and found.dtype == value.dtype and np.array_equal(found, value)


def test_config_dicts_become_dicts_and_a_program_in_meta_is_left_out(tmp_path: Path) -> None:
    meta = {"config": "open('x', 'w')", "dataset_meta": ConfigDict(classes=("a",), inner=ConfigDict(b=1))}
    torch.save({"meta": meta, "state_dict": TENSORS}, tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth")["meta"]
    assert found == {"dataset_meta": {"classes": ("a",), "inner": {"b": 1}}}
    assert type(found["dataset_meta"]) is dict


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    torch.save({"meta": np.array([{}, None]), "state_dict": TENSORS}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("hub", [3, {"log_scalars": [1]}, {"log_scalars": {"loss": "history"}}])
def test_a_log_history_of_something_else_is_refused(tmp_path: Path, hub: object) -> None:
    if isinstance(hub, dict) and isinstance(hub["log_scalars"], dict):
        history = HistoryBuffer()
        history._log_history = [1.0]
        hub["log_scalars"]["loss"] = history
    torch.save({"message_hub": hub, "state_dict": TENSORS}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth .*damaged"):
        read_checkpoint(tmp_path / "x.pth")


def test_bare_weights_and_metadata_are_kept(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors")
    found = read_checkpoint(tmp_path / "x.safetensors")
    assert found.keys() == {"state_dict"}
    assert_same(found["state_dict"])
    torch.save({"state_dict": nn.BatchNorm1d(2).state_dict()}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth")["state_dict"]._metadata[""] == {"version": 2}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncation_is_refused_with_file_and_cause(tmp_path: Path, share: float, kind: str) -> None:
    path = tmp_path / f"cut.{kind}"
    if kind == "safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(mmengine_checkpoint(), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_state_dict, read_checkpoint):
        with pytest.raises(WeightsError, match=r"cut\.\w+.*(truncated|empty)"):
            read(path)


def test_a_flipped_byte_inside_a_tensor_is_found(tmp_path: Path, good: Path) -> None:
    content = bytearray(good.read_bytes())
    position = content.find(TENSORS["a.weight"].numpy().tobytes()[:64]) + 40
    content[position] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    assert torch.load(tmp_path / "flipped.pth", weights_only=False)  # PyTorch itself does not notice
    with pytest.raises(WeightsError, match=r"flipped\.pth.*checksum"):
        read_state_dict(tmp_path / "flipped.pth")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flip_anywhere_is_refused_or_harmless(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path = good.with_name("anywhere.pth")
    path.write_bytes(content)
    try:
        found = read_state_dict(path)
    except WeightsError:
        return
    assert_same(found)


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, marker: Path, how: str) -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple:
        code = f"open({str(self.marker)!r}, 'w').close()"
        return {
            "system": (os.system, (f"touch {self.marker}",)),
            "exec": (exec, (code,)),
            "path": (Path.touch, (self.marker,)),
            "getattr": (getattr(os, "system"), (f"touch {self.marker}",)),  # noqa: B009
        }[self.how]


@pytest.mark.parametrize("how", ["system", "exec", "path", "getattr"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_bomb_is_refused_and_does_not_go_off(tmp_path: Path, how: str, legacy: bool) -> None:
    marker, path = tmp_path / "marker", tmp_path / "bomb.pth"
    torch.save({**TENSORS, "x": Bomb(marker, how)}, path, _use_new_zipfile_serialization=not legacy)
    for read in (read_state_dict, read_checkpoint):
        with pytest.raises(WeightsError, match=r"bomb\.pth is refused as unsafe"):
            read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the bomb of this test is a dud"


def test_a_bomb_behind_the_stand_ins_stays_inert(tmp_path: Path) -> None:
    """getattr is let through for HistoryBuffer's sake: it must not reach anything."""
    marker, path = tmp_path / "marker", tmp_path / "bomb.pkl"
    # pickle protocol 2: getattr(HistoryBuffer, "mean") and then a call of what came out, with the marker's path
    name = str(marker).encode()
    payload = (
        b"\x80\x02c__builtin__\ngetattr\ncmmengine.logging.history_buffer\nHistoryBuffer\n"
        b"X\x04\x00\x00\x00mean\x86RX" + len(name).to_bytes(4, "little") + name + b"\x85R."
    )
    path.write_bytes(payload)
    for read in (read_state_dict, read_checkpoint):
        with pytest.raises(WeightsError):
            read(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "nothing"),
        ([1, 2], "a list"),
        ({"epoch": 3, "lr": 0.1}, "epoch, lr"),
        ({"state_dict": {"a": HistoryBuffer()}}, "1 of its 1 entries"),
    ],
)
def test_files_without_weights_say_so(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "x.pth")


def test_absent_files_folders_and_urls(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_state_dict(tmp_path / "no.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_state_dict(tmp_path)
    with pytest.raises(WeightsError, match="download it first"):
        read_state_dict("https://example.org/x.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint at all")
    with pytest.raises(WeightsError, match=r"text\.pth .*damaged"):
        read_state_dict(tmp_path / "text.pth")


def test_a_file_that_was_checked_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}}, path)
    reads: list[str] = []
    monkeypatch.setattr(
        ahead, "read_weights", lambda *args, **kwargs: reads.append("") or read_weights(*args, **kwargs)
    )
    ahead.read_ahead(path)
    assert torch.equal(ahead.take_weights(path).tensors["a"], torch.ones(2)) and len(reads) == 1
    ahead.take_weights(path)  # it was forgotten
    assert len(reads) == 2
    ahead.read_ahead(path)
    torch.save({"state_dict": {"a": torch.zeros(3)}}, path)
    assert len(ahead.take_weights(path).tensors["a"]) == 3 and len(reads) == 4
