"""Loading a .pt2: an archive that torch.export.save wrote, inspected before torch deserialises any of it.

torch lays an archive out as `models/model.json` (the graph), `data/weights/` and `data/constants/` (raw bytes,
described by a JSON file each) and `data/sample_inputs/model.pt` (a torch.save file). Loading runs pickle for
payloads marked `use_pickle`, for `custom_obj_*` and `opaque_obj_*` constants, for `.pt` files of the older
layout and for sample inputs that weights_only refuses; it resolves every node's target by attribute look-up from
the torch module, and parses symbolic sizes with sympy, which evaluates text. A file from elsewhere could run
code through each of these, so an archive is accepted only when none of them is present.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.model.quiet import quiet_libraries
from edgeprune.model.torch_checks import batch_of_one, check_outputs, check_weights

if TYPE_CHECKING:
    import torch

__all__ = ["load_pt2"]

_PLAIN_RECORD = re.compile(
    r"(data/weights/weight_\d+|data/constants/tensor_\d+|data/(weights|constants)/model_\w+_config\.json"
    r"|models/model\.json|data/sample_inputs/model\.pt|archive_format|archive_version|version|byteorder"
    r"|\.data/[\w.]+|\.format_version|\.storage_alignment|extra/.*)"
)
_SAFE_TARGET = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|eq|ge|le|gt|lt)"
)
_SIZE_TEXT = re.compile(r"[\w\s(),='*+/-]*")
_SIZE_WORD = re.compile(
    r"[su]\d+|Symbol|Integer|Add|Mul|Pow|FloorDiv|Mod|Max|Min|positive|nonnegative|integer|True"
)


def load_pt2(path: Path) -> Model:
    """Load an exported program as a module whose submodules keep their qualified names.

    Raises:
        UsageError: the archive is damaged, carries pickled payloads or anything else than one program of
            aten operators, has dynamic dimensions other than the batch, or unusable weights.
    """
    import torch

    example = _inspect(path)
    try:
        with quiet_libraries():
            program = torch.export.load(path)
            module = torch.export.unflatten(program)
    except Exception as error:  # damaged contents surface as whatever torch's deserialiser trips over
        raise UsageError(
            f"{path} cannot be loaded ({_line(error)}): save it again with torch.export.save"
        ) from error
    _check_shapes(program, path)
    module = module.float().eval()
    check_weights(module, str(path))
    inputs = batch_of_one(example, f"the sample input of {path}")
    try:
        check_outputs(module, inputs, str(path))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UsageError(f"{path} does not run on a batch of one sample ({_line(error)})") from error
    return Model(path.stem, path, "torch", module=module, example_inputs=inputs)


def _inspect(path: Path) -> tuple[torch.Tensor, ...]:
    """Refuse whatever could run code on loading; return the sample inputs."""
    import torch
    from torch.export.pt2_archive._package import PT2ArchiveReader

    try:
        archive = PT2ArchiveReader(str(path))
        names = archive.get_file_names()
        records = {name: archive.read_bytes(name) for name in names}
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{path} is not an archive of torch.export.save, or it is truncated: save it again with torch 2.8 or later"
        ) from error
    for name in names:
        if not _PLAIN_RECORD.fullmatch(name):
            raise UsageError(
                f"{path} carries {name!r}, which may run code when loaded; only plain weights are accepted"
            )
    graph = _json(path, records, "models/model.json")
    for name in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
        _check_payloads(path, _json(path, records, name))
    _check_graph(path, graph)
    try:
        sample = torch.load(io.BytesIO(records["data/sample_inputs/model.pt"]), weights_only=True)
    except Exception as error:  # weights_only refuses with UnpicklingError, damage gives several others
        raise UsageError(
            f"{path} carries sample inputs that are not plain tensors; they are pickled and may run code"
        ) from error
    return _positional(path, sample)


def _json(path: Path, records: dict[str, bytes], name: str) -> Any:
    if name not in records:
        raise UsageError(f"{path} lacks {name!r}: it is not a model saved by torch.export.save")
    try:
        return json.loads(records[name])
    except ValueError as error:
        raise UsageError(f"{path}: {name!r} is damaged ({_line(error)})") from error


def _check_payloads(path: Path, config: Any) -> None:
    for weight, payload in config.get("config", {}).items():
        plain = re.fullmatch(r"(weight|tensor)_\d+", str(payload.get("path_name")))
        if payload.get("use_pickle") is not False or not plain:
            raise UsageError(
                f"{path} carries {weight!r} as a pickled payload, which may run code: it is refused"
            )


def _check_graph(path: Path, graph: Any) -> None:
    for key, value in _entries(graph):
        if key == "nodes":
            for node in value:
                if not _SAFE_TARGET.fullmatch(str(node.get("target"))):
                    raise UsageError(f"{path} calls {node.get('target')!r}; only aten operators are accepted")
        elif key == "expr_str" and not _is_safe_size(str(value)):
            raise UsageError(
                f"{path} has sizes that depend on its inputs ({value}): export it with static shapes"
            )


def _is_safe_size(text: str) -> bool:
    """Whether an expression consists of symbols, integers and arithmetic: nothing that names an object or attribute."""
    words = re.findall(r"[^\W\d]\w*", text)
    return bool(_SIZE_TEXT.fullmatch(text)) and all(_SIZE_WORD.fullmatch(word) for word in words)


def _entries(item: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of nested dictionaries and lists."""
    pending = [item]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield from current.items()
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)


def _positional(path: Path, sample: Any) -> tuple[torch.Tensor, ...]:
    import torch

    args, kwargs = sample if isinstance(sample, tuple) and len(sample) == 2 else ((), {})
    if not args or kwargs or not all(isinstance(item, torch.Tensor) for item in args):
        raise UsageError(f"{path} has no sample inputs that are all positional tensors: export it with such")
    return tuple(args)


def _check_shapes(program: torch.export.ExportedProgram, path: Path) -> None:
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            for axis, size in enumerate(node.meta["val"].shape):
                if axis > 0 and not isinstance(size, int):
                    raise UsageError(
                        f"{path}: dimension {axis} of input {node.name!r} is dynamic ({size}): export it with"
                        " static shapes"
                    )


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
