"""Imported once by the server that tests/forked.py forks from: what tools/train.py and tools/test.py would import."""

import contextlib
import io
import warnings
from importlib import import_module

import mixedae  # noqa: F401  # before mmdet: it makes mmcv._ext findable
from tests.unformatted import leave_configs_unformatted

leave_configs_unformatted()
with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for library in ("mmpretrain", "mmseg", "mmdet"):
        import_module(f"{library}.datasets")
        import_module(f"{library}.models")
