"""The pre-training methods that configs name, each as one reads it in its paper; building blocks are in ``models``.

A method is a mmengine ``BaseModel`` with a ``backbone``: the encoder that is handed on to the transfers, for methods
with a momentum encoder the one that the official code evaluates. It may have a class method ``check_config(model,
loader)``, which is asked before a training.
"""

import mixedae.registry  # noqa: F401 - before the libraries
from mixedae.methods.dino import DINO
from mixedae.methods.ibot import IBOT
from mixedae.methods.mae import MAE
from mixedae.methods.mixedae import MixedAE

__all__ = ["DINO", "IBOT", "MAE", "MixedAE"]
