"""C functions that printed kernels lean on: what TVM has as an operator and C99 does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

__all__ = ["HELPERS", "MATH_CALLS"]


def _binary(expression: str) -> Callable[[str, str], str]:
    def text(name: str, ctype: str) -> str:
        return f"static inline {ctype} {name}({ctype} a, {ctype} b)\n{{\n    return ({ctype})({expression});\n}}\n"

    return text


def _unary(expression: str) -> Callable[[str, str], str]:
    def text(name: str, ctype: str) -> str:
        return f"static inline {ctype} {name}({ctype} x)\n{{\n    return {expression};\n}}\n"

    return text


def _relu(name: str, ctype: str) -> str:
    return f"""/* max(x, 0): a positive float's bits, taken as an integer, are positive too, and -0 becomes 0. */
static inline {ctype} {name}({ctype} x)
{{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = bits > 0 ? bits : 0;
    memcpy(&x, &bits, sizeof x);
    return x;
}}
"""


HELPERS: Mapping[str, Callable[[str, str], str]] = MappingProxyType(
    {
        "max": _binary("a > b ? a : b"),
        "min": _binary("a < b ? a : b"),
        "floordiv": _binary("a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0)"),
        "floormod": _binary("a % b + ((a % b != 0 && (a < 0) != (b < 0)) ? b : 0)"),
        "relu": _relu,
        "sigmoid": _unary("1.0F / (1.0F + expf(-x))"),
        "rsqrt": _unary("1.0F / sqrtf(x)"),
    }
)
"""By TVM's name: the definition, from a C name and a type."""

MATH_CALLS: Mapping[str, str] = MappingProxyType(
    {
        name: name
        for name in ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "cos", "cosh")
    }
    | {
        name: name
        for name in ("erf", "exp", "exp2", "fabs", "floor", "fmod", "log", "log10", "log1p", "log2")
    }
    | {name: name for name in ("nearbyint", "pow", "sin", "sinh", "sqrt", "tan", "tanh", "trunc")}
    | {
        "nearbyintf": "nearbyint",
        "round": "nearbyint",
        "expf": "exp",
        "logf": "log",
        "powf": "pow",
        "sqrtf": "sqrt",
        "tanhf": "tanh",
    }
    | {
        f"{name}f": name
        for name in ("sin", "cos", "tan", "floor", "ceil", "trunc", "fmod", "log2", "log10", "exp2")
    }
    | {f"{name}f": name for name in ("atan", "fabs", "erf", "sinh", "cosh", "acos", "asin", "round")}
)
"""TVM's name of a function -> math.h's, without the suffix of its type."""
