"""What plugs into mmengine's Runner: parameter groups and hooks that configs name, and checks before it is built."""

import mixedae.registry  # noqa: F401 - before the libraries
from mixedae.engine.each_clip import EachClipAmpOptimWrapper, EachClipOptimWrapper
from mixedae.engine.hooks.collapse import CollapseHook
from mixedae.engine.hooks.effective_batch import EffectiveBatchHook
from mixedae.engine.hooks.method_steps import MethodStepsHook, WeightDecayHook
from mixedae.engine.hooks.non_finite import NonFiniteLossHook
from mixedae.engine.hooks.online import OnlineProbeHook
from mixedae.engine.hooks.outcomes import OutcomesHook
from mixedae.engine.hooks.predictions import PredictionHook
from mixedae.engine.hooks.progress import ProgressHook
from mixedae.engine.hooks.recognition import RecognitionHook
from mixedae.engine.hooks.run_record import RunRecordHook
from mixedae.engine.hooks.strict_loading import StrictLoadingHook
from mixedae.engine.hooks.waiting import WaitingHook
from mixedae.engine.lars import LARS
from mixedae.engine.layer_decay import LearningRateDecayOptimWrapperConstructor
from mixedae.engine.loops import ExactEpochLoop, ExactIterLoop
from mixedae.engine.predicting import TestProgressHook
from mixedae.engine.probes.frozen import KNNProbeLoop, LinearProbeLoop
from mixedae.engine.probes.grid import ChooseProbeHook, ProbeGridConstructor
from mixedae.engine.probes.layers import LayerProbeLoop
from mixedae.engine.runner import StrictRunner
from mixedae.engine.voc07_metric import VOC07Metric

__all__ = [
    "LARS",
    "ChooseProbeHook",
    "CollapseHook",
    "EachClipAmpOptimWrapper",
    "EachClipOptimWrapper",
    "EffectiveBatchHook",
    "ExactEpochLoop",
    "ExactIterLoop",
    "KNNProbeLoop",
    "LayerProbeLoop",
    "LearningRateDecayOptimWrapperConstructor",
    "LinearProbeLoop",
    "MethodStepsHook",
    "NonFiniteLossHook",
    "OnlineProbeHook",
    "OutcomesHook",
    "PredictionHook",
    "ProbeGridConstructor",
    "ProgressHook",
    "RecognitionHook",
    "RunRecordHook",
    "StrictLoadingHook",
    "StrictRunner",
    "TestProgressHook",
    "VOC07Metric",
    "WaitingHook",
    "WeightDecayHook",
]
