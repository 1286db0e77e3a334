"""TVM as a provider of kernels: an ONNX subgraph in, C functions and the calls that run it out.

TVM itself is an optional package (`edgeprune[tvm]`) and is imported when a subgraph is compiled, never before. Nothing
of it reaches the device: its kernels are printed as plain C, and `plan` and `codegen` see only the values of `routine`.

    front      ONNX -> Relax -> one loop nest per kernel, and the calls between them
    schedules  loop nests tiled for registers
    lowering   a scheduled loop nest -> plain loops over flat buffers
    c_source   plain loops -> a C function, with what it costs
    compile    all of these in a row

On request the loops become machine code instead, by the LLVM in TVM's package:

    raw_loops     plain loops -> a function over pointers
    machine       what LLVM calls the device's core
    machine_code  a function over pointers -> an object file
"""

from edgeprune.tvm.c_terms import wrapped
from edgeprune.tvm.compile import compile_model
from edgeprune.tvm.installed import require_tvm, tvm_version
from edgeprune.tvm.machine_code import compiler_name, object_code
from edgeprune.tvm.routine import Argument, Call, Kernel, Nest, Role, Routine
from edgeprune.tvm.tiles import REGISTERS

__all__ = [
    "REGISTERS",
    "Argument",
    "Call",
    "Kernel",
    "Nest",
    "Role",
    "Routine",
    "compile_model",
    "compiler_name",
    "object_code",
    "require_tvm",
    "tvm_version",
    "wrapped",
]
