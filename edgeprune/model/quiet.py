"""Keeping the libraries' deprecation notices and chatter off the user's console."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

__all__ = ["quiet_libraries"]

_LOUD = ("torch", "torch.onnx", "torch.export", "torchao", "onnxscript", "onnx_ir")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence warnings and every log record below error of torch, torchao, onnxscript and onnx-ir."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
