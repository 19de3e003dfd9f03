"""Linear probe and k-NN in the place of a train loop: chosen on held-out pictures, tested once, on record."""

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy
from safetensors.torch import load_file
from torch import Tensor

from mixedae.engine.probes.features import features_of
from mixedae.engine.probes.frozen import L2, LinearProbeLoop, targets_of
from mixedae.engine.probes.knn import knn_votes
from mixedae.engine.probes.logistic import fit
from mixedae.errors import ConfigError, DataError
from tests.configs.recipe import CONFIGS


def test_the_grid_is_ssl_transfers() -> None:
    """torch.logspace(-6, 5, 45) in linear.py, from its strong end."""
    np.testing.assert_allclose(sorted(L2), torch.logspace(-6, 5, 45, dtype=torch.float64).numpy())
    assert L2[0] == max(L2)


def test_several_labels_become_columns() -> None:
    infos = [{"gt_label": [0, 2]}, {"gt_label": []}, {"gt_label": [1]}]
    expected = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
    assert targets_of(infos, 3, several=True).equal(expected)
    assert targets_of([{"gt_label": 2}, {"gt_label": np.int64(0)}], 3, several=False).tolist() == [2, 0]


def test_neighbours_with_several_labels_vote_for_each() -> None:
    """One label a picture, written as columns, gives the same shares; they add up to 1."""
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(40, 5, generator=generator), torch.randn(11, 5, generator=generator)
    labels = torch.arange(40) % 4
    columns = torch.nn.functional.one_hot(labels, 4).bool()
    for single, several in zip(
        knn_votes(bank, labels, queries, 4, (3, 9), chunk=4),
        knn_votes(bank, columns, queries, 4, (3, 9), chunk=4),
        strict=True,
    ):
        for one, other in zip(single, several, strict=True):
            torch.testing.assert_close(one, other)
            torch.testing.assert_close(one.sum(1), torch.ones(len(one)))


@pytest.fixture
def leaf(mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The mini leaf on the mini benchmark's folders: 10 classes, 3 training and 2 test pictures each."""
    monkeypatch.setenv("MIXEDAE_DATA_IMAGENET", str(mini_data / "imagenet"))
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)  # it asks compilers for their versions, slowly

    def load(*overlays: str, **changes) -> Config:
        cfg = Config.fromfile(CONFIGS / "mini/classification/small_tiny-imagenet.py")
        for overlay in overlays:
            cfg.merge_from_dict(deepcopy(cfg[overlay].to_dict()))
        splits = dict(_delete_=True, trainval=dict(data_prefix="train"), test=dict(data_prefix="val"))
        expected = dict(_delete_=True, classes=10, trainval=30, test=20)
        for split in ("train", "val", "test"):
            own = dict(splits=dict(splits), expected=dict(expected))
            cfg.merge_from_dict({f"{split}_dataloader": dict(dataset=own)})
        cfg.merge_from_dict({"model.head.num_classes": 10, "data_preprocessor.num_classes": 10})
        cfg.merge_from_dict(
            {"model.backbone.init_cfg.checkpoint": "random", "work_dir": str(tmp_path / "run"), **changes}
        )
        cfg.experiment_name = "_".join((*overlays, tmp_path.name))
        return cfg

    return load


def chosen(offered: Iterable[Tensor], candidates: Sequence[float], labels: Tensor) -> tuple[float, float]:
    """The last of the best candidates, and its accuracy in per cent."""
    rates = [100 * (scores.argmax(1) == labels).double().mean().item() for scores in offered]
    return next((c, rate) for c, rate in reversed([*zip(candidates, rates, strict=True)]) if rate == max(rates))


@pytest.mark.train
def test_linear_and_knn_share_features_and_leave_a_record(leaf, tmp_path: Path) -> None:
    cache = {"train_cfg.cache": str(tmp_path / "cache")}
    strengths = (1e2, 1.0, 1e-2)
    runner = Runner.from_cfg(leaf("linear", **cache, **{"train_cfg.l2": strengths}))
    runner.train()
    record = json.loads((tmp_path / "run" / "run_record.json").read_text())
    assert set(record["metrics"]) == {"accuracy/top1", "linear/l2", "linear/held_out"}
    assert record["status"] == "finished" and record["num_val_images"] == 20
    assert (tmp_path / "run" / "outcomes.npz").is_file()
    loop = runner.train_loop
    x, queries = features_of(runner.model, loop.dataloader), features_of(runner.model, runner.val_dataloader)
    kept = [load_file(file)["features"] for file in (tmp_path / "cache").iterdir()]
    assert sorted(map(len, kept)) == [20, 30]  # test and training pictures
    assert any(torch.equal(x, one) for one in kept), "the weights are what they were"

    # The same from the pieces: features, a fit with the strength that was chosen, the share that is right.
    train, val = (
        torch.tensor([d.get_cat_ids(i)[0] for i in range(len(d))])
        for d in (loop.dataloader.dataset, runner.val_dataloader.dataset)
    )
    model = fit(x, train, record["metrics"]["linear/l2"], classes=10)
    right = (model.logits(queries).argmax(1) == val).double().mean().item()
    assert record["metrics"]["accuracy/top1"] == pytest.approx(100 * right)

    # And the choice: on the pictures that are held out, with fits on the others.
    inside, outside = map(torch.tensor, loop.dataloader.dataset.held_out())
    fits = [fit(x[inside], train[inside], strengths[0], classes=10)]
    for l2 in strengths[1:]:  # each from the last, as the features of random weights leave the fit much room
        fits.append(fit(x[inside], train[inside], l2, 10, fits[-1]))
    offered = [model.logits(x[outside]) for model in fits]
    linear = record["metrics"]["linear/l2"], record["metrics"]["linear/held_out"]
    assert linear == pytest.approx(chosen(offered, strengths, train[outside]))
    votes = next(iter(knn_votes(x[inside], train[inside], x[outside], 10, (1, 3))))
    expected_knn = chosen(votes, (1, 3), train[outside])

    for overlays, files, pictures in ((("knn",), 2, 30), (("knn", "selection"), 4, 20)):
        again = leaf(*overlays, **cache)
        again.train_cfg.ks = (1, 3)
        again = Runner.from_cfg(again)
        again.train()
        metrics = json.loads((tmp_path / "run" / "run_record.json").read_text())["metrics"]
        assert set(metrics) == {"accuracy/top1", "knn/k", "knn/held_out"}
        assert "selection" in overlays or (metrics["knn/k"], metrics["knn/held_out"]) == pytest.approx(expected_knn)
        assert len(list((tmp_path / "cache").iterdir())) == files, (
            "the same features as the linear probe's, or a part's"
        )
        assert len(again.train_loop.dataloader.dataset) == pictures


@pytest.mark.train
def test_two_metrics_or_other_counts_stop_the_run(leaf) -> None:
    with pytest.raises(ConfigError, match="there are 2"):
        evaluator = dict(type="Accuracy", topk=(1, 5))
        Runner.from_cfg(leaf("knn", val_evaluator=evaluator, **{"train_cfg.ks": (1, 3)})).train()
    with pytest.raises(ConfigError, match=r"30 pictures that vote; expected 1 to 30 neighbours, such as ks=\(10, 20\)"):
        Runner.from_cfg(leaf("knn")).train()
    cfg = leaf("selection")
    cfg.merge_from_dict({"train_dataloader.dataset.expected.trainval": 31})
    with pytest.raises(DataError, match=r"30 pictures, 31 expected \(-1\)"):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_picture_whose_best_log_odds_are_negative_is_judged_as_any_other(classes: int) -> None:
    """mmpretrain's accuracy takes a score of zero or less for no prediction."""
    generator = torch.Generator().manual_seed(0)
    features, queries = (torch.randn(n, 4, generator=generator) for n in (300, 200))
    labels, truth = (torch.randint(classes, (n,), generator=generator) for n in (300, 200))
    loop = LinearProbeLoop.__new__(LinearProbeLoop)
    (scores,) = loop.scores(features, labels, classes, queries, [1.0])
    logits = fit(features, labels, 1.0, classes).logits(queries)
    assert (logits.max(dim=1).values < 0).any()  # the case at hand
    assert torch.equal(scores.argmax(1), logits.argmax(1)) and (scores.max(dim=1).values > 0).all()
    found = Accuracy.calculate(scores.float(), truth, topk=(1,))[0][0].item()
    assert found == pytest.approx(100 * (logits.argmax(1) == truth).double().mean().item())
