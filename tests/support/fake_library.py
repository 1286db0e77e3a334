"""A library written by hand that obeys the generated API: two layers over eight int8 values.

Layer "first" adds weights to the input, layer "second" doubles the sum and saturates. `fault` names something a
defective library might do in `run`, for tests of how the emulator reports it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.codegen.sources import Layer, Port, Sources
from edgeprune.graph.ir import Array, Quant, Tensor

SIZE = 8
WEIGHTS = (1, -2, 3, -4, 5, -6, 7, -8)

_FAULTS = {
    "none": "",
    "hang": "for (volatile int forever = 1; forever != 0;) {\n    }",
    "guard above": "context->arena[FAKE_ARENA_BYTES + 3] = 0;",
    "guard below": "*(context->arena - 1) = 0;",
    "bus fault": "*(volatile int8_t *)0xF0000000U = 1;",
    "undefined instruction": '__asm__ volatile(".inst 0xde01");',
    "stack overflow": "context->arena[0] = (int8_t)recurse(1000000);",
    "status": "return FAKE_ERROR;",
}

_HEADER = """
#ifndef FAKE_H
#define FAKE_H
#include <stddef.h>
#include <stdint.h>

#define FAKE_ARENA_BYTES 16
#define FAKE_ARENA_ALIGN 8
#define FAKE_INPUT_0_BYTES 8
#define FAKE_OUTPUT_0_BYTES 8

typedef enum { FAKE_OK = 0, FAKE_ERROR = 1 } fake_status_t;

#ifdef FAKE_ENABLE_LAYER_CALLBACK
typedef void (*fake_layer_callback_t)(void *user, int layer);
#endif

typedef struct fake_context {
    int8_t *arena;
#ifdef FAKE_ENABLE_LAYER_CALLBACK
    fake_layer_callback_t callback;
    void *user;
#endif
} fake_context_t;

fake_status_t fake_init(fake_context_t *context, void *arena, size_t arena_bytes);
int8_t *fake_input_0(fake_context_t *context);
const int8_t *fake_output_0(const fake_context_t *context);
fake_status_t fake_run(fake_context_t *context);
#ifdef FAKE_ENABLE_LAYER_CALLBACK
void fake_set_layer_callback(fake_context_t *context, fake_layer_callback_t callback, void *user);
const void *fake_layer_output(const fake_context_t *context, int layer, int output, size_t *bytes);
#endif
#endif
"""

_CODE = """
#include "fake.h"

extern const int8_t fake_weights_first[8];

__attribute__((unused, noinline)) static int recurse(int depth)
{
    volatile int keep = depth;
    return depth == 0 ? 0 : recurse(depth - 1) + keep;
}

fake_status_t fake_init(fake_context_t *context, void *arena, size_t arena_bytes)
{
    if (arena_bytes < FAKE_ARENA_BYTES) {
        return FAKE_ERROR;
    }
    context->arena = arena;
#ifdef FAKE_ENABLE_LAYER_CALLBACK
    context->callback = NULL;
#endif
    return FAKE_OK;
}

int8_t *fake_input_0(fake_context_t *context)
{
    return context->arena;
}

const int8_t *fake_output_0(const fake_context_t *context)
{
    return context->arena + 8;
}

__attribute__((noinline)) static void fake_layer_0(const fake_context_t *context)
{
    for (int i = 0; i < 8; i++) {
        context->arena[i] = (int8_t)(context->arena[i] + fake_weights_first[i]);
    }
}

__attribute__((noinline)) static void fake_layer_1(const fake_context_t *context)
{
    for (int i = 0; i < 8; i++) {
        const int value = 2 * context->arena[i];
        context->arena[8 + i] = (int8_t)(value > 127 ? 127 : (value < -128 ? -128 : value));
    }
}

fake_status_t fake_run(fake_context_t *context)
{
    fake_layer_0(context);
#ifdef FAKE_ENABLE_LAYER_CALLBACK
    if (context->callback != NULL) {
        context->callback(context->user, 0);
    }
#endif
    fake_layer_1(context);
#ifdef FAKE_ENABLE_LAYER_CALLBACK
    if (context->callback != NULL) {
        context->callback(context->user, 1);
    }
#endif
    @fault@
    return FAKE_OK;
}

#ifdef FAKE_ENABLE_LAYER_CALLBACK
void fake_set_layer_callback(fake_context_t *context, fake_layer_callback_t callback, void *user)
{
    context->callback = callback;
    context->user = user;
}

const void *fake_layer_output(const fake_context_t *context, int layer, int output, size_t *bytes)
{
    (void)output;
    *bytes = 8;
    return context->arena + 8 * layer;
}
#endif
"""

_WEIGHTS = """
#include "fake.h"

extern const int8_t fake_weights_first[8];
const int8_t fake_weights_first[8] = { @weights@ };
"""


def _tensor(name: str) -> Tensor:
    return Tensor(name, (1, SIZE), "int8", Quant.per_tensor(1.0, 0))


def fake_sources(fault: str = "none", code: str = _CODE) -> Sources:
    """The library; `code` replaces fake.c whole."""
    x, h, y = _tensor("x"), _tensor("h"), _tensor("y")
    return Sources(
        prefix="fake",
        files={
            "fake.h": _HEADER,
            "fake.c": code.replace("@fault@", _FAULTS[fault]),
            "fake_weights.c": _WEIGHTS.replace("@weights@", ", ".join(map(str, WEIGHTS))),
        },
        inputs=(Port(x, None),),
        outputs=(Port(y, None),),
        layers=(Layer("first", "fake_layer_0", (h,)), Layer("second", "fake_layer_1", (y,))),
        arena_bytes=16,
        arena_align=8,
    )


def hidden(x: Array) -> Array:
    """What layer "first" leaves."""
    return (x + np.array(WEIGHTS, np.int8)).astype(np.int8)


def expected(x: Array) -> Array:
    """What the library computes for inputs [N, 1, 8]."""
    return np.clip(2 * hidden(x).astype(np.int32), -128, 127).astype(np.int8)


def assembly_sources(body: str) -> Sources:
    """The library with a `run` in Thumb assembly of the test's own; it has no layers."""
    start = _CODE.index("__attribute__((noinline)) static void fake_layer_0")
    end = _CODE.index("#ifdef FAKE_ENABLE_LAYER_CALLBACK\nvoid fake_set_layer_callback")
    lines = "\n".join(f'                     "{line}\\n"' for line in body.splitlines())
    function = f"""
__attribute__((naked)) fake_status_t fake_run(fake_context_t *context)
{{
    __asm__ volatile(
{lines}
                     : : "r"(context));
}}

"""
    return replace(fake_sources(code=_CODE[:start] + function + _CODE[end:]), layers=())
