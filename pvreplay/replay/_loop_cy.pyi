# The arguments are described in _loop_cy.py; all are memoryviews of the formats Q and I.
def run(
    ev: memoryview,
    begin: int,
    end: int,
    cpus: memoryview,
    clocks: memoryview,
    tasks: memoryview,
    ldt: memoryview,
    table: memoryview,
    buf: memoryview,
    seqtab: memoryview,
    arena: memoryview,
    st: memoryview,
) -> int: ...
def scout(
    ev: memoryview,
    begin: int,
    end: int,
    cpus: memoryview,
    clocks: memoryview,
    tasks: memoryview,
    ldt: memoryview,
    table: memoryview,
    buf: memoryview,
    seqtab: memoryview,
    arena: memoryview,
    st: memoryview,
) -> int: ...
def finish(
    cpus: memoryview,
    clocks: memoryview,
    tasks: memoryview,
    table: memoryview,
    buf: memoryview,
    seqtab: memoryview,
    arena: memoryview,
    st: memoryview,
) -> int: ...
