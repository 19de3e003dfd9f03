"""The model behind DistributedDataParallel and other wrappers of mmengine."""

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """The model itself.

    Args:
        model: a runner's, wrapped or not.
    """
    return model.module if is_model_wrapper(model) else model
