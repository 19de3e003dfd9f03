"""Strict loading where a command builds mmengine's Runner itself, as mmseg's test.py does despite ``runner_type``."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import WeightsError
from mixedae.registry import HOOKS, RUNNERS
from mixedae.weights import load_whole, read_checkpoint


@HOOKS.register_module()
class StrictLoadingHook(Hook):
    """Loads ``load_from`` as data, verified and whole, before mmengine would; nothing with ``mixedae.StrictRunner``.

    mmengine runs what a checkpoint contains, and goes on with a warning if weights do not fit.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Load.

        Args:
            runner: about to load by itself.

        Raises:
            WeightsError: the checkpoint is damaged, unsafe or of another model, or the run would be resumed.
        """
        if isinstance(runner, RUNNERS.get("StrictRunner")) or runner._has_loaded:
            return
        if runner._resume:
            raise WeightsError(
                "resume=True found in a run that is not a mixedae.StrictRunner: mmengine would execute what the "
                'checkpoint contains. Keep runner_type="mixedae.StrictRunner" of the recipe, or use tools/train.py'
            )
        if runner._load_from is None:
            return
        checkpoint = read_checkpoint(runner._load_from)
        runner.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_whole(unwrapped(runner.model), checkpoint["state_dict"], runner._load_from)
        runner._has_loaded = True
        runner.logger.info(f"loaded {runner._load_from}")
