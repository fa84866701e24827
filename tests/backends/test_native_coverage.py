"""Which ops have no native code: the list is to grow shorter, not longer."""

import symgraph as sg
import symgraph.backends.llvm.backend
from symgraph.backends.llvm.analysis.cluster import REDUCTIONS
from symgraph.backends.llvm.lowering.scope import RULES
from symgraph.core.op import OPS

# Views that are resolved to strides, and the items of ops with several results.
VIEWS = {"rearrange", "check_size", "windows", "item"}
IN_PYTHON = {"argsort", "flat_nonzero", "polygamma", "searchsorted", "sort"}


def test_every_other_op_is_native():
    assert sg.__version__
    missing = {
        name
        for name, op in OPS.items()
        if op.formula is None
        and op.expand is None
        and "leaf" not in op.traits
        and name not in {*RULES, *REDUCTIONS, *VIEWS}
        and not name.startswith("test")
    }
    assert missing == IN_PYTHON
