"""C's types, operators and literals, for kernels that are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

__all__ = [
    "ATOM",
    "BINARY",
    "BITWISE",
    "BOTH",
    "CHOICE",
    "CTYPES",
    "EITHER",
    "EQUAL",
    "NARROW",
    "ORDER",
    "PRODUCT",
    "SUM",
    "arena_type",
    "integer",
    "real",
    "wrapped",
]

CTYPES = MappingProxyType(
    {
        "float32": "float",
        "float64": "double",
        "int8": "int8_t",
        "uint8": "uint8_t",
        "int16": "int16_t",
        "uint16": "uint16_t",
        "int32": "int32_t",
        "uint32": "uint32_t",
        "int64": "int64_t",
        "uint64": "uint64_t",
        "bool": "uint8_t",
    }
)
_ALIASING = MappingProxyType(
    {"float32": "PREFIX_f32_t", "int32": "PREFIX_i32_t", "uint32": "PREFIX_u32_t", "int16": "PREFIX_i16_t"}
    | {"int64": "PREFIX_i64_t", "float64": "PREFIX_f64_t", "uint64": "PREFIX_u64_t", "uint16": "PREFIX_u16_t"}
)
NARROW = ("int8", "uint8", "int16", "uint16")
ATOM, PRODUCT, SUM, SHIFT, ORDER, EQUAL, AND, XOR, OR, BOTH, EITHER, CHOICE = range(12, 0, -1)
"""How strongly C's operators bind, a name by itself the most."""
BINARY: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "Add": ("+", SUM),
        "Sub": ("-", SUM),
        "Mul": ("*", PRODUCT),
        "Div": ("/", PRODUCT),
        "Mod": ("%", PRODUCT),
        "EQ": ("==", EQUAL),
        "NE": ("!=", EQUAL),
        "LT": ("<", ORDER),
        "LE": ("<=", ORDER),
        "GT": (">", ORDER),
        "GE": (">=", ORDER),
        "And": ("&&", BOTH),
        "Or": ("||", EITHER),
        "BitwiseAnd": ("&", AND),
        "BitwiseOr": ("|", OR),
        "BitwiseXor": ("^", XOR),
        "LShift": ("<<", SHIFT),
        "RShift": (">>", SHIFT),
    }
)
BITWISE = MappingProxyType(
    {
        "bitwise_and": ("&", AND),
        "bitwise_or": ("|", OR),
        "bitwise_xor": ("^", XOR),
        "shift_left": ("<<", SHIFT),
        "shift_right": (">>", SHIFT),
    }
)


def arena_type(dtype: str) -> str:
    """The C type by which elements that the arena holds are read and written."""
    return _ALIASING.get(dtype, CTYPES[dtype])


def integer(value: int, dtype: str) -> tuple[str, int]:
    """An integer literal, and how strongly it binds."""
    if dtype == "bool":
        return str(int(bool(value))), ATOM
    if dtype in ("int64", "uint64"):
        if value == -(1 << 63):
            return "(-9223372036854775807LL - 1LL)", ATOM
        return (f"{value}{'LL' if dtype == 'int64' else 'ULL'}"), ATOM if value >= 0 else PRODUCT
    if value == -(1 << 31):
        return "(-2147483647 - 1)", ATOM
    suffix = "U" if dtype == "uint32" else ""
    return f"{value}{suffix}", ATOM if value >= 0 else PRODUCT


def real(value: float, dtype: str) -> tuple[str, int]:
    """A literal of a real number, and how strongly it binds."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    binding = PRODUCT if sign else ATOM
    if math.isnan(value):
        return "NAN", ATOM
    if math.isinf(value):
        return f"{sign}INFINITY", binding
    if dtype == "float64":
        return repr(value), binding
    if abs(value) > float(np.finfo(np.float32).max):
        return f"{sign}INFINITY", binding
    text = str(np.float32(value))
    return (f"{text}F" if "." in text or "e" in text else f"{text}.0F"), binding


def wrapped(head: str, parameters: list[str]) -> str:
    """A function's first lines, its parameters one a line where they do not fit into one."""
    line = f"{head}{', '.join(parameters)})"
    return line if len(line) <= 110 else head + "\n    " + ",\n    ".join(parameters) + ")"
