"""mmengine's Runner with one strict door for checkpoints, whether they are resumed from or loaded."""

import json
import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from mixedae.engine.console import NOTICE
from mixedae.engine.continuity import ALLOW, META, FreshSchedule, check_changes, facts_of, stored_facts
from mixedae.engine.distributed import join, lost_processes_named, on_cpu, patience, wrapper_config
from mixedae.engine.hooks.checkpoints import KeepingCheckpointHook, step_is_whole
from mixedae.engine.loops import EXACT_LOOPS, ExactLoop, dead_workers_named, naming
from mixedae.engine.preflight.config import check_new, check_resume
from mixedae.engine.resuming import RunFolder, check_resumable
from mixedae.engine.stopping import Stopping
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError, MixedAEError, WeightsError
from mixedae.files import sweep
from mixedae.occupancy import occupied
from mixedae.registry import RUNNERS
from mixedae.weights import load_start, load_whole, read_checkpoint


@RUNNERS.register_module()
class StrictRunner(Runner):
    """Reads checkpoints as data, verifies them, and loads all of them or nothing.

    mmengine falls back to running what a file contains, runs the text of a ``meta.config``, and goes on with a warning
    if weights do not fit. ``resume=True`` without a file takes the newest whole checkpoint of the run's own folder.
    """

    _resuming = False
    _resumed_from = ""
    _changed: tuple[str, ...] = ()
    _seed_now: int | None = None
    saves = True
    """Whether this training leaves checkpoints; a dry run does not, and may look into the folder of another run."""
    _stopping: Stopping | None = None

    @classmethod
    def from_cfg(cls, cfg: Any) -> "StrictRunner":
        """Build a runner.

        Args:
            cfg: the resolved config.

        Raises:
            WeightsError: the run is to be resumed, and its folder holds no checkpoint. Nothing is written then.
        """
        check_resume(cfg)
        runner: StrictRunner = super().from_cfg(cfg)
        return runner

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Set the environment up; several processes on CPUs meet through gloo, on GPUs as mmengine does it.

        Args:
            env_cfg: as mmengine's.
        """
        join(self.launcher, env_cfg.get("dist_cfg") or {})
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes.

        Args:
            model_wrapper_cfg: as mmengine's.
            model: as mmengine's.

        Raises:
            ConfigError: it has SyncBN, and there is no GPU.
        """
        if self.distributed and on_cpu() and not is_model_wrapper(model):
            find_unused = bool(self.cfg.get("find_unused_parameters", False))
            model_wrapper_cfg = wrapper_config(model_wrapper_cfg, model, find_unused)
        return super().wrap_model(model_wrapper_cfg, model)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register mmengine's default hooks, with the checkpoint hook that removes old files last.

        Args:
            hooks: as mmengine's: a name to a hook, its config, or None for no such hook.
        """
        hooks = dict(hooks or {})
        checkpoint = hooks.get("checkpoint", {"type": "CheckpointHook"})
        if isinstance(checkpoint, dict) and checkpoint.get("type") == "CheckpointHook":
            hooks["checkpoint"] = {**checkpoint, "type": KeepingCheckpointHook}
        super().register_default_hooks(hooks)

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop, the exact one in the place of mmengine's.

        Args:
            loop: a loop or its config.
        """
        if isinstance(loop, dict) and isinstance(self._train_dataloader, dict):
            loop = dict(loop)
            if "type" not in loop and "by_epoch" in loop:
                loop["type"] = "EpochBasedTrainLoop" if loop.pop("by_epoch") else "IterBasedTrainLoop"
            kind = str(loop.get("type")).removeprefix("mmengine.")
            if kind in EXACT_LOOPS:
                loop["type"] = EXACT_LOOPS[kind]
        return super().build_train_loop(loop)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build the schedule.

        Args:
            scheduler: as mmengine's.

        Raises:
            ConfigError: it does not fit the length of an epoch.
        """
        try:
            return super().build_param_scheduler(scheduler)
        except (ValueError, AssertionError) as error:
            loop = self._train_loop
            length = len(loop.dataloader) if hasattr(loop, "dataloader") else "?"
            raise ConfigError(
                f"param_scheduler cannot be built for epochs of {length} iterations: {error}. The usual reason is a "
                "warm-up or a phase that is shorter than one step: take a smaller batch (train_dataloader.batch_size), "
                "more epochs, or another begin and end"
            ) from error

    def build_val_loop(self, loop: Any) -> Any:
        """Build the validation loop, whose loader names a file that does not decode.

        Args:
            loop: a loop or its config.
        """
        self._val_dataloader: Any = naming(self._val_dataloader)  # type: ignore[has-type]
        return super().build_val_loop(loop)

    def build_test_loop(self, loop: Any) -> Any:
        """Build the test loop, whose loader names a file that does not decode.

        Args:
            loop: a loop or its config.
        """
        self._test_dataloader: Any = naming(self._test_dataloader)  # type: ignore[has-type]
        return super().build_test_loop(loop)

    def train(self) -> nn.Module:
        """Train, alone in the run's folder, from which leftovers of killed saves are removed.

        Raises:
            FolderInUseError: another training runs there, or has its checkpoints there and is not resumed.
            RunStoppedError: a signal asked for it.
            WorkerError: a loader's worker died, or gave nothing for too long.
            ProcessLostError: another process died or hangs.
        """
        with occupied(self.work_dir) if is_main_process() else nullcontext():
            if self.saves:
                check_new(self.cfg, self.work_dir)
            if is_main_process():
                for folder in {Path(self.work_dir), RunFolder.of(self.cfg, self.work_dir).folder}:
                    for path in sweep(folder):
                        self.logger.info(f"removed {path}, which a killed save left")
            self._stopping = Stopping(patience((self.cfg.get("env_cfg") or {}).get("dist_cfg") or {}))
            with dead_workers_named(), self._stopping.watching(), lost_processes_named():
                return super().train()

    def test(self) -> dict[str, float]:
        """Test.

        Raises:
            ProcessLostError: another process died or hangs.
        """
        with lost_processes_named():
            return super().test()

    def stop_if_asked(self) -> None:
        """Save and stop, if a signal asked for it and no gradients are accumulated. The loops call it after each step.

        Raises:
            RunStoppedError: with the exit status.
        """
        if self._stopping is None or not self._stopping.asked() or not step_is_whole(self):
            return
        folder = RunFolder.of(self.cfg, self.work_dir)
        loop = self.train_loop
        done = (loop.epoch, loop.iter - loop.epoch * len(loop.dataloader)) if folder.by_epoch else (loop.iter, 0)
        name = folder.name(*done)
        self.save_checkpoint(str(folder.folder), name, meta=dict(epoch=loop.epoch, iter=loop.iter), by_epoch=False)
        self._stopping.wait_for_all()
        raise self._stopping.error(str(folder.folder / name))

    def load_or_resume(self) -> None:
        """Load or resume, as the config says; nothing if a checkpoint was loaded before.

        Raises:
            WeightsError: a checkpoint is damaged, unsafe or of another model, or none can be resumed from.
        """
        if self._has_loaded:
            return
        if self._resume:
            self.resume(self._load_from or self._newest())
            self._tell_where_it_stands()
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def _newest(self) -> str:
        """The main process chooses, so that all processes take the same file."""
        answer: list[Any] = [None]
        if is_main_process():
            try:
                choice = RunFolder.of(self.cfg, self.work_dir).newest()
            except WeightsError as error:
                answer = [error]
            else:
                answer = [str(choice.path)]
                for reason in choice.passed_over:
                    self.logger.warning(f"passed over: {reason}")
        broadcast_object_list(answer)
        if isinstance(answer[0], WeightsError):
            raise answer[0]
        path: str = answer[0]
        return path

    def _tell_where_it_stands(self) -> None:
        loop = self.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        unit, done, wanted = (
            ("epochs", loop.epoch, loop.max_epochs) if by_epoch else ("iterations", loop.iter, loop.max_iters)
        )
        rest = loop.iter - loop.epoch * len(loop.dataloader) if by_epoch else 0
        more = f" and {rest} of {len(loop.dataloader)} iterations of the next" if rest else ""
        text = f"resumed from {self._resumed_from}: {done} of {wanted} {unit}{more} are done"
        if done >= wanted:
            text += f". This run is finished, nothing is left to train; its checkpoint is {self._resumed_from}"
        self.logger.info(text, extra=NOTICE)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on from a checkpoint: weights, optimizer, schedules, logs, counts.

        Args:
            filename: a local file.
            *args: as mmengine's.
            **kwargs: as mmengine's.

        Raises:
            WeightsError: it is damaged, unsafe or of another model, or holds only weights.
            ConfigError: it was written with other settings, and ``allow_change`` in the config does not name them.
        """
        self._resuming, self._resumed_from = True, filename
        fresh = FreshSchedule(self)
        self._seed_now = (self.cfg.get("randomness") or {}).get("seed")
        try:
            super().resume(filename, *args, **kwargs)
        except (ValueError, KeyError) as error:
            if isinstance(error, MixedAEError):
                raise
            raise WeightsError(
                f"checkpoint {filename}: the state of its optimizer or schedule does not fit this run's ({error}); "
                "resume with the recipe that it was written with"
            ) from error
        finally:
            self._resuming = False
        if self._changed:
            if self._seed_now is not None and self.seed != self._seed_now:
                self._randomness_cfg.update(seed=self._seed_now)
                self.set_randomness(**self._randomness_cfg)
            fresh.restore()
            self.logger.warning(
                f"this is no longer the run that was started. Changed: {'; '.join(self._changed)}", extra=NOTICE
            )
        if isinstance(self.train_loop, ExactLoop):
            self.train_loop.resumed()

    def _check_same(self, meta: dict[str, Any], filename: str) -> None:
        """Compare the settings of a checkpoint with this run's, and take its place in epochs of another length."""
        then, now = stored_facts(meta), facts_of(self)
        if then is None:
            self.logger.info(f"{filename} does not say what its run was made of; nothing is compared")
            return
        self._changed = tuple(check_changes(then, now, self.cfg.get(ALLOW) or (), filename))
        before, length = then.get("epoch_length"), now["epoch_length"]
        if self._changed and before and length and before != length and meta["iter"] == meta["epoch"] * before:
            meta["iter"] = meta["epoch"] * length

    def save_checkpoint(self, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Save, with what the run is made of.

        Args:
            *args: as mmengine's.
            meta: as mmengine's.
            **kwargs: as mmengine's.
        """
        super().save_checkpoint(*args, meta={**(meta or {}), META: json.dumps(facts_of(self))}, **kwargs)

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = "cpu",
        strict: bool = True,
        revise_keys: Sequence[tuple[str, str]] = ((r"^module.", ""),),
    ) -> dict[str, Any]:
        """Load the weights of a checkpoint.

        Args:
            filename: a local file.
            map_location: the device of the tensors.
            strict: in mmengine's place; loading is always strict.
            revise_keys: pairs of a regular expression and its replacement in the names of tensors.

        Returns:
            The whole content.

        Raises:
            WeightsError: it is damaged or unsafe, or a tensor is missing, unexpected or of another shape.
        """
        checkpoint = read_checkpoint(filename, map_location)
        if self._resuming:
            check_resumable(checkpoint, filename)
            self._check_same(checkpoint["meta"], filename)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        for pattern, replacement in revise_keys:
            for name in [name for name in checkpoint["state_dict"] if re.search(pattern, name)]:
                checkpoint["state_dict"][re.sub(pattern, replacement, name)] = checkpoint["state_dict"].pop(name)
        said = ""
        if self._resuming:
            load_whole(unwrapped(self.model), checkpoint["state_dict"], filename)
        else:
            said = load_start(unwrapped(self.model), checkpoint, filename)
        self._has_loaded = True
        self.logger.info(f"loaded {Path(filename)}" + (f" ({said})" if said else ""), extra=NOTICE if said else None)
        return checkpoint
