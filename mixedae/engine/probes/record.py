"""A probe ends as a training does whose last epoch was validated: with a record, outcomes and a line on the console."""

from collections.abc import Callable

from mmengine.runner import Runner

from mixedae.engine.console import NOTICE


def leave_on_record(runner: Runner, name: str, measure: Callable[[], dict[str, float]]) -> None:
    """Let the hooks see a validation.

    Args:
        runner: the runner.
        name: of the probe, for the log.
        measure: gives the metrics; the evaluator's listeners are in place when it is called.
    """
    runner.call_hook("before_val")
    runner.call_hook("before_val_epoch")
    metrics = measure()
    runner.call_hook("after_val_epoch", metrics=metrics)
    runner.call_hook("after_val")
    listed = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    runner.logger.info(f"{name}: {listed}", extra=NOTICE)
    runner.call_hook("after_train")
