"""What a suite measured from one pre-trained checkpoint."""

from pathlib import Path

from mixedae.benchmark.store.results import RESULT, Result, read_result
from mixedae.datasets.fingerprint import content_hash


def transfers_of(checkpoint: Path) -> list[Result]:
    """Finished transfers that started from these weights, by task and seed; empty outside a suite's folder.

    Args:
        checkpoint: in a suite's ``<row>/pretrain/seed_N/``.

    Raises:
        ResultsError: a result is damaged.
    """
    row = checkpoint.absolute().parents[2] if len(checkpoint.absolute().parents) > 3 else checkpoint.parent
    if checkpoint.absolute().parents[1].name != "pretrain":
        return []
    found = [read_result(path.parent) for path in sorted(row.glob(f"*/seed_*/{RESULT}"))]
    digest = content_hash(checkpoint)
    return [
        each
        for each in found
        if each is not None and each.status == "ok" and each.task and each.identity.weights_sha256 == digest
    ]
