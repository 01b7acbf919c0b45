"""Memory that is needed soon is asked for now: rows of tables lie anywhere, and the processor can't foresee which."""

from typing import Any, cast

from numba.core import cgutils, types
from numba.extending import intrinsic

llvm = cast(Any, cgutils)  # untyped
ir = llvm.ir
READ, KEEP, DATA = 0, 3, 1
"""What LLVM's `prefetch` is told: to be read, in all caches, no code."""


def _fetch(_typing: Any, table: Any, row: Any) -> Any:
    """`fetch(table, row)`: have row `row` of `table` `[L, N]` brought near; changes nothing."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, (array, index) = signature.args[0], args
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        first = ir.Constant(index.type, 0)
        there = context.make_array(kind)(context, builder, array)
        at = llvm.get_item_pointer(context, builder, kind, there, [index, first])
        of_llvm = builder.module.declare_intrinsic(
            "llvm.prefetch", (byte,), ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        options = [ir.Constant(number, value) for value in (READ, KEEP, DATA)]
        builder.call(of_llvm, [builder.bitcast(at, byte), *options])
        return context.get_dummy_value()

    return types.void(table, types.intp), generate


fetch = cast(Any, intrinsic)(_fetch)
