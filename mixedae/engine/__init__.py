"""What plugs into mmengine's Runner: parameter groups and hooks that configs name, and checks before it is built."""

from mixedae.engine.effective_batch import EffectiveBatchHook
from mixedae.engine.frozen import KNNProbeLoop, LinearProbeLoop
from mixedae.engine.knn import KNNHook, KNNLoop
from mixedae.engine.layer_decay import LearningRateDecayOptimWrapperConstructor
from mixedae.engine.non_finite import NonFiniteLossHook
from mixedae.engine.outcomes import OutcomesHook
from mixedae.engine.predictions import PredictionHook
from mixedae.engine.progress import ProgressHook
from mixedae.engine.recognition import RecognitionHook
from mixedae.engine.run_record import RunRecordHook
from mixedae.engine.voc07_metric import VOC07Metric

__all__ = [
    "EffectiveBatchHook",
    "KNNHook",
    "KNNLoop",
    "KNNProbeLoop",
    "LearningRateDecayOptimWrapperConstructor",
    "LinearProbeLoop",
    "NonFiniteLossHook",
    "OutcomesHook",
    "PredictionHook",
    "ProgressHook",
    "RecognitionHook",
    "RunRecordHook",
    "VOC07Metric",
]
