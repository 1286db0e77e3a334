"""The command that made a bundle, so that its report can say how to make it again."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from edgeprune.config import Settings

__all__ = ["deploy_command"]

_SWITCHES = {
    "tune": "--tune",
    "stream_input": "--stream-input",
    "frames": "--frames",
    "input_uint8": "--input-uint8",
    "board_firmware": "--board-firmware",
}
_NOT_OF_THE_RESULT = {"model", "device", "output", "resume", "train", "minimum", "runner", "port"}


def deploy_command(settings: Settings) -> tuple[str, ...]:
    """`edgeprune deploy` and its arguments, of all settings that are not the defaults.

    Files are named without their folders: the report is the same wherever the bundle was made. `minimum` has no option;
    it stands in the user's edgeprune.toml.
    """
    words = ["edgeprune", "deploy", settings.model.name, "--device", Path(settings.device).name]
    for item in fields(Settings):
        value = getattr(settings, item.name)
        if item.name in _NOT_OF_THE_RESULT or value == item.default:
            continue
        if item.name in _SWITCHES:
            words.append(_SWITCHES[item.name])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            text = one.name if isinstance(one, Path) else str(one)
            words += [f"--{item.name.replace('_', '-')}", text]
    if not settings.train:
        words.append("--no-train")
    return tuple(words)
