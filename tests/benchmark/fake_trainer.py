"""Stands in for tools/train.py: same arguments, same files, no torch. What it does is said by ``fake`` in the config.

``fake`` keys: epochs, sleep (seconds an epoch), until (a file is there), fail (message), fail_times (only so often),
hang (ignore SIGTERM, never end), silent (no record), metrics, iterations, effective_batch, break_resume, outcomes (of
these test images), scores (file: lr to the score of a run that --overlay selection shortens; null diverges).
``FAKE_JOURNAL`` names a file that collects one line for each start, epoch and end.
"""

import argparse
import fcntl
import hashlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path


def journal(*words: object) -> None:
    if path := os.environ.get("FAKE_JOURNAL"):
        with open(path, "a") as file:
            file.write(" ".join(map(str, words)) + "\n")


def name_of(folder: Path) -> str:
    """The cell's name, from its folder."""
    parts = folder.parts
    return "/".join(parts[parts.index("search") - 2 :] if "search" in parts else parts[-3:])


def starts(folder: Path) -> int:
    """How often this cell was started, by the journal."""
    name = name_of(folder)
    return Path(os.environ["FAKE_JOURNAL"]).read_text().count(f"start {name} ") if "FAKE_JOURNAL" in os.environ else 1


def write_outcomes(folder: Path, names: str, score: float) -> float:
    """outcomes.npz of a classification of 40 images; returns its accuracy."""
    import numpy as np

    correct = np.random.default_rng(0).random(40) < score
    header = {"schema": 1, "items_sha256": names, "metrics": {"accuracy/top1": "correct"}}
    arrays = {"accuracy/top1:correct": correct, "accuracy/top1:label": np.zeros(40, np.int32)}
    np.savez(folder / "outcomes.npz", header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    return float(100 * correct.mean())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--launcher", default="none")
    parser.add_argument("--overlay", action="append", default=[])
    parser.add_argument("--cfg-options", nargs="+", default=[])
    args = parser.parse_args()
    options = dict(option.split("=", 1) for option in args.cfg_options)
    config = runpy.run_path(args.config)
    fake, folder = config["fake"], args.work_dir
    name = name_of(folder)
    journal("start", name, "resume" if args.resume else "anew", os.environ["OMP_NUM_THREADS"])
    busy = open(folder / "busy", "w")  # noqa: SIM115 - open, and so locked, until the end
    try:
        fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        journal("COLLISION", name)
        return 1
    if fake.get("hang"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.1)
    checkpoint = options.get("model.backbone.init_cfg.checkpoint", "")
    weights = Path(checkpoint).read_text() if checkpoint.startswith("/") else checkpoint
    pointer = folder / "last_checkpoint"
    done = 0
    if args.resume:
        if fake.get("break_resume"):
            print("error: WeightsError: epoch_1.pth is truncated")
            return 1
        done = int(Path(pointer.read_text()).stem.split("_")[1])
    for epoch in range(done + 1, fake.get("epochs", 2) + 1):
        time.sleep(fake.get("sleep", 0.0))
        while "until" in fake and not Path(fake["until"]).exists():
            time.sleep(0.02)
        if fake.get("fail") and starts(folder) <= fake.get("fail_times", 10**9):
            print("Traceback (most recent call last):\n  nonsense", fake["fail"], sep="\n", file=sys.stderr)
            return 1
        content = f"{fake.get('value', 0)} {options['randomness.seed']} {weights} {epoch}"
        path = folder / f"epoch_{epoch}.pth"
        path.write_text(hashlib.sha256(content.encode()).hexdigest())
        pointer.write_text(str(path))
        progress = {
            "phase": "train",
            "epoch": epoch,
            "max_epochs": fake.get("epochs", 2),
            "loss": 1 / epoch,
            "eta_s": 3,
        }
        (folder / "progress.json").write_text(json.dumps(progress))
        journal("epoch", name, epoch)
    lr = options.get("optim_wrapper.optimizer.lr")
    scores = json.loads(Path(fake["scores"]).read_text()) if "scores" in fake else {}
    if lr in scores and scores[lr] is None:
        print("error: NonFiniteLossError: loss is nan in iteration 3", file=sys.stderr)
        return 1
    score = int(path.read_text()[:6], 16) / 0xFFFFFF if not fake.get("silent") else 0.0
    if lr in scores and "selection" in args.overlay:
        score = scores[lr]
    record = {
        "status": "finished",
        "metrics": fake.get("metrics", {"accuracy/top1": 100 * score, "coco/bbox_mAP": score / 2}),
        "num_val_images": 5 if "selection" in args.overlay else config.get("images", 20),
        "iterations": fake.get("iterations", 10),
        "epochs": fake.get("epochs", 2),
        "effective_batch": fake.get("effective_batch", config["train_dataloader"]["batch_size"]),
        "lr": 1e-3,
        "precision": "fp32",
        "world_size": 1,
        "accumulation": 1,
        "wall_time_s": 0.5,
        "peak_memory_mb": 100.0,
        "checkpoint": path.name,
        "load_report": {"matched": 3} if checkpoint else None,
        "unknown_to_the_harness": True,
    }
    if names := fake.get("outcomes"):
        record["metrics"]["accuracy/top1"] = write_outcomes(folder, names, score)
    if not fake.get("silent"):
        (folder / "run_record.json").write_text(json.dumps(record))
    journal("end", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
