"""The replay loop: events in, counts of distinct units out.

Ordinary Python in Cython's pure-Python mode.  Nothing is allocated here: the
caller (:mod:`pvreplay.replay.state`) owns every array, and when one is too
small :func:`run` returns *before* the event that needs more room has had any
effect, so that the caller can grow it and go on.  Every number taken from an
event is range-checked before it becomes an index.

Arrays
    ``cpus``    32 words of 32 bits a CPU; its first 32 bytes are all that a plain switch touches
        0 current task's row   1 mm word   2 special   3 row named by FOR
        8 lazy MMU depth   12 sequence flags  13 its length
        14 the task that was current when it began  15 whether it is known who runs
    ``clocks``  the same memory as 64-bit words, 16 a CPU
        2 time of its last event   5 depths of irq, nmi << 21 and fault << 42
        8 first event of the open sequence   9 its time
    ``tasks``   8 words a task: 0 flags, 1 mm, 2-4 TLS words, 5 id.  Row r starts
        at word 8*r; the idle task of CPU c is row c, task t is row CPU_MAX + t.
        A "row" kept in ``cpus`` is that first word.
    ``ldt``     LDT identity of each mm; ldt[0] stays 0
    ``table``   open-addressing hash table, two words a slot: complement of the key (0 = free), count;
        then three words for each key in the order of insertion: the key, first event | previous
        task << 40, its time
    ``buf``     room for the open sequence of each CPU
    ``seqtab``  hash table of sequences: 24 bits of the hash << 40 | where it is in ``arena``, plus 1
    ``arena``   every sequence: its number << 32 | its length, then its items
    ``st``      the totals and, from word 32 on, the parameters: see ``S_`` and ``P_`` in state.py

Task flags are placed so that a shape comes out of masks and shifts: a flag at
its "prev" bit of :mod:`pvreplay.machine.shape`, the "next" bit being one above.
    0-1 iopl  2 used_math  3 no mm  5 TS_USEDFPU (without lazy FPU: a user task, to its end)
    7 iopl is not 0  9 gs  11 dr  13 io_bitmap  15 notsc  17 blockstep  21 parked
    24-31 fpu_counter
The mm word is active_mm | 1 << 30 when in lazy TLB state | 1 << 31 when leave_mm()
has cleared the own bit in that mm's mask.
Special (why an event takes the long way): 1 FOR pending, 2 a depth is not 0,
4 the CPU has not switched yet, 8 only a span of time counts.
Sequence flags: 1 open, 2 in begin..end, 4 after end, 8 switched inside, 16 worth counting.

A key is payload | CPU << 27 | task << 40; payload is the shape, or bit 26 and
0 for #NM, 1 for leave_mm, 2 + n for sequence n.

:func:`_run` itself does what nearly all events need: a switch whose unit is in
the table already, an FPU instruction.  Everything else goes to
:func:`_odd_switch`, :func:`_section` and :func:`_state`, which stay out of line
because each is called from two places or more.  All of it is one file because the C
compiler has to see both sides of a call to pass pointers instead of memoryviews.

:func:`scout` follows who runs where and whose FPU is live, and counts nothing: for a thread that is to
begin in the middle of a trace (:mod:`pvreplay.replay.split`).

C integers wrap and Python's do not: whatever may exceed its width is masked.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.hints import PV_PREFETCH


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count(
    table: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    key: cython.ulonglong,
    event_prev: cython.ulonglong,
    time: cython.ulonglong,
) -> cython.void:
    """Count *key* once; the caller has made sure of a free slot."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    size: cython.ulonglong = cython.cast(cython.ulonglong, 2) << st[35]
    slot: cython.ulonglong = ((key * HASH & MASK64) >> (64 - st[35])) * 2
    key ^= MASK64
    while table[slot] != key:
        if table[slot] == 0:
            table[slot] = key
            size += st[0] * 3
            table[size] = key ^ MASK64
            table[size + 1] = event_prev
            table[size + 2] = time
            st[0] += 1
            st[15] |= st[0] + 3 > st[36]
            break
        slot = (slot + 2) & (size - 1)
    table[slot + 1] += 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _push(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    buf: cython.ulonglong[::1],
    cap: cython.ulonglong,
    cpu: cython.ulonglong,
    item: cython.ulonglong,
    worth: cython.uint,
    event: cython.ulonglong,
    time: cython.ulonglong,
) -> cython.void:
    """Append *item* to the CPU's sequence, opening one if none is; neighbours of SET_PTE add up."""
    SET_PTE: cython.ulonglong = 17
    MAX_PAYLOAD: cython.ulonglong = 0xFFFFFFFFFFFFFF
    c: cython.ulonglong = cpu * 32
    at: cython.ulonglong = cpu * cap
    length: cython.ulonglong = cpus[c + 13]
    if length == 0:
        clocks[cpu * 16 + 8] = event
        clocks[cpu * 16 + 9] = time
        cpus[c + 14] = tasks[cpus[c] + 5]
    cpus[c + 12] |= 1 | worth << 4
    if (
        length > 0
        and item >> 56 == SET_PTE
        and buf[at + length - 1] >> 56 == SET_PTE
        and (buf[at + length - 1] & MAX_PAYLOAD) + (item & MAX_PAYLOAD) <= MAX_PAYLOAD
    ):
        buf[at + length - 1] += item & MAX_PAYLOAD
        return
    buf[at + length] = item
    cpus[c + 13] = cython.cast(cython.uint, length + 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _close(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    cpu: cython.ulonglong,
    time: cython.ulonglong,
) -> cython.void:
    """End the CPU's sequence at *time*: number and count it, or drop it when nothing happened in it."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK40: cython.ulonglong = 0xFFFFFFFFFF
    MASK24: cython.ulonglong = 0xFFFFFF
    c: cython.ulonglong = cpu * 32
    at: cython.ulonglong = cpu * st[37]
    length: cython.ulonglong = cpus[c + 13]
    worth: cython.uint = cpus[c + 12] & 16
    i: cython.ulonglong
    j: cython.ulonglong
    h: cython.ulonglong
    slot: cython.ulonglong
    entry: cython.ulonglong
    number: cython.ulonglong
    start: cython.ulonglong
    key: cython.ulonglong
    cpus[c + 12] = 0
    cpus[c + 13] = 0
    if worth == 0 or (time - st[46] & MASK64) > st[47]:
        return
    h = length
    for i in range(length):
        h = (h ^ (buf[at + i] << 8 & MASK64 | buf[at + i] >> 56)) * HASH & MASK64
    slot = h >> (64 - st[40])
    h = h & MASK40 ^ h >> 40  # what the table keeps of it, in 40 bits; 24 of them are used
    while True:
        entry = seqtab[slot]
        if entry == 0:
            number = st[1]
            start = st[2]
            arena[start] = number << 32 | length
            for i in range(length):
                arena[start + 1 + i] = buf[at + i]
            st[1] = number + 1
            st[2] = start + 1 + length
            seqtab[slot] = h << 40 & MASK64 | (start + 1)
            if st[2] + st[37] + 4 > st[38] or st[1] + 3 > st[39]:
                st[15] |= 2
            break
        if entry >> 40 == h & MASK24:
            start = entry & MASK40
            if arena[start - 1] & MASK32 == length:
                j = 0
                while j < length and arena[start + j] == buf[at + j]:
                    j += 1
                if j == length:
                    number = arena[start - 1] >> 32
                    break
        slot = (slot + 1) & ((cython.cast(cython.ulonglong, 1) << st[40]) - 1)
    key = ((1 << 26) + 2 + number) | cpu << 27 | cython.cast(cython.ulonglong, tasks[cpus[c] + 5]) << 40
    _count(
        table,
        st,
        key,
        clocks[cpu * 16 + 8] | cython.cast(cython.ulonglong, cpus[c + 14]) << 40,
        clocks[cpu * 16 + 9],
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _guards(
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    any_ldt: cython.ulonglong,
    word: cython.uint,
    p: cython.ulonglong,
    n: cython.ulonglong,
    pf: cython.uint,
    nf: cython.uint,
) -> cython.uint:
    """The shape of a switch from row *p* to row *n* but for next_eager, parking and interrupts.

    Branch-free, but for the LDTs: nearly no trace has one at all.
    """
    ACTIVE: cython.uint = 0xFFFFFF
    PREV: cython.uint = 1 << 3 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 15 | 1 << 17
    NEXT: cython.uint = 1 << 3 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 15 | 1 << 17
    user: cython.uint = nf >> 3 & 1 ^ 1
    differs: cython.uint = ((word ^ tasks[n + 1]) & ACTIVE) != 0
    slots: cython.uint = tasks[p + 2] != tasks[n + 2]
    shape: cython.uint
    old: cython.uint
    new: cython.uint
    slots += tasks[p + 3] != tasks[n + 3]
    slots += tasks[p + 4] != tasks[n + 4]
    differs &= user
    shape = (pf & PREV) | (nf & NEXT) << 1 | slots << 24 | differs
    shape |= (word >> 31 & user & ~differs) << 2
    shape |= cython.cast(cython.uint, ((pf ^ nf) & 3) != 0) << 7
    if any_ldt:
        old = ldt[word & ACTIVE]
        new = ldt[tasks[n + 1]]
        shape |= (differs & (old != new)) << 1
        shape |= cython.cast(cython.uint, old != 0) << 19
        shape |= cython.cast(cython.uint, new != 0) << 20
    return shape


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _seen(
    st: cython.ulonglong[::1], special: cython.uint, cpu: cython.ulonglong, time: cython.ulonglong
) -> cython.void:
    """Note an event of a CPU that has not switched yet: the highest CPU, the earliest time."""
    if special & 4:
        if time < st[10]:
            st[10] = time
        if cpu > st[12]:
            st[12] = cpu


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _odd_switch(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    t: cython.ulonglong,
    w: cython.ulonglong,
    event: cython.ulonglong,
) -> cython.int:
    """Any SWITCH or BEGIN: the first of its unit, in a section, in an interrupt, to itself, ..."""
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    CPU_MAX: cython.ulonglong = 8192
    USEDFPU: cython.uint = 1 << 5
    PARKED: cython.uint = 1 << 21
    COUNTER: cython.uint = 0xFF000000
    IN_IRQ: cython.uint = 1 << 23
    PREV_PARKED: cython.uint = 1 << 21
    IN_LAZY_TLB: cython.uint = 1 << 30
    FOR_PENDING: cython.uint = 1
    DEEP: cython.uint = 2
    WINDOWED: cython.uint = 8
    OPEN: cython.uint = 1
    WINDOW: cython.uint = 2
    AFTER: cython.uint = 4
    SWITCHED: cython.uint = 8
    SWITCH: cython.ulonglong = 1
    BEGIN: cython.ulonglong = 29
    PARK: cython.ulonglong = 0x80
    RESUME: cython.ulonglong = 0x81
    cpu: cython.ulonglong = w >> 32 & 0xFFFF
    begins: cython.uint = (w >> 48 & 0xFF) == BEGIN
    arg: cython.ulonglong = w & MASK32
    c: cython.ulonglong = cpu * 32
    p: cython.ulonglong = cpus[c]
    n: cython.ulonglong
    pf: cython.uint = tasks[p]
    nf: cython.uint
    shape: cython.uint
    eager: cython.uint
    flags: cython.uint = cpus[c + 12]
    counted: cython.uint = (t - st[46] & MASK64) <= st[47]
    row: cython.uint = counted
    prev: cython.ulonglong
    if arg >= st[33]:
        return 11
    if cpus[c + 13] + 3 > st[37]:
        return 2
    n = (arg + CPU_MAX if arg else cpu) * 8
    nf = tasks[n]
    prev = tasks[p + 5]
    eager = (nf >> 24) >= st[42]
    eager &= nf >> 2 | cython.cast(cython.uint, st[43])
    shape = _guards(tasks, ldt, st[14], cpus[c + 1], p, n, pf, nf) | eager << 6
    _seen(st, cpus[c + 2], cpu, t)
    cpus[c + 15] = 1
    st[8] += cpus[c + 2] & FOR_PENDING
    if clocks[cpu * 16 + 5] << 22 & MASK64:  # an irq or nmi; faults may switch
        shape |= IN_IRQ
    clocks[cpu * 16 + 5] = 0  # whoever runs next is in no interrupt or fault of prev's
    if begins:
        st[8] += flags >> 1 & 1  # the window before it has no END
        cpus[c + 12] = flags & ~(WINDOW | AFTER)
        if cpus[c + 8]:
            cpus[c + 8] = 1
            cpus[c + 12] |= SWITCHED
        elif flags & OPEN:
            _close(cpus, clocks, tasks, table, buf, seqtab, arena, st, cpu, t)
        _push(cpus, clocks, tasks, buf, st[37], cpu, BEGIN << 56, 1, event, t)
        cpus[c + 12] |= WINDOW
        row = 0
    elif cpus[c + 8] and st[45]:
        shape |= PREV_PARKED
        _push(cpus, clocks, tasks, buf, st[37], cpu, PARK << 56, 1, event, t)
        _close(cpus, clocks, tasks, table, buf, seqtab, arena, st, cpu, t)
        cpus[c + 8] = 0
        pf |= PARKED
        tasks[p] = pf
    elif cpus[c + 8]:
        _push(cpus, clocks, tasks, buf, st[37], cpu, SWITCH << 56 | shape, 1, event, t)
        cpus[c + 8] = 1
        cpus[c + 12] |= SWITCHED
        row = 0
    elif flags & (OPEN | WINDOW | AFTER) == OPEN:
        _close(cpus, clocks, tasks, table, buf, seqtab, arena, st, cpu, t)
    if row:
        shape |= (tasks[n] & PARKED) << 1
        _count(table, st, shape | cpu << 27 | arg << 40, event | prev << 40, t)
    st[3] += counted
    st[4] += p == n
    # prev may be next: its row is written before next's is read
    tasks[p] = pf & (cython.cast(cython.uint, st[49]) | (COUNTER if pf & USEDFPU else 0))
    nf = tasks[n]
    tasks[n] = cython.cast(cython.uint, (nf | eager << 5) + (eager << 24) & MASK32)
    cpus[c] = cython.cast(cython.uint, n)
    if tasks[n + 1]:
        cpus[c + 1] = tasks[n + 1]
    else:
        cpus[c + 1] |= IN_LAZY_TLB
    if begins == 0 and tasks[n] & PARKED:
        tasks[n] &= ~PARKED
        _push(cpus, clocks, tasks, buf, st[37], cpu, RESUME << 56, 1, event, t)
        cpus[c + 8] = 1
    cpus[c + 2] = cpus[c + 2] & WINDOWED | (DEEP if cpus[c + 8] else 0)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _section(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    buf: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    t: cython.ulonglong,
    w: cython.ulonglong,
    event: cython.ulonglong,
) -> cython.int:
    """An event that may be part of a sequence: ENTER_MMU .. FLUSH, OP, END.

    0, or why not (``MORE_`` and ``BAD_`` in state.py), or -1 when the CPU's sequence ends with it.
    """
    MASK32: cython.ulonglong = 0xFFFFFFFF
    DEEP: cython.uint = 2
    OPEN: cython.uint = 1
    WINDOW: cython.uint = 2
    AFTER: cython.uint = 4
    SWITCHED: cython.uint = 8
    ONE: cython.ulonglong = 1
    cpu: cython.ulonglong = w >> 32 & 0xFFFF
    kind: cython.uint = cython.cast(cython.uint, w >> 48 & 0xFF)
    item: cython.ulonglong = (w >> 48 & 0xFF) << 56
    c: cython.ulonglong = cpu * 32
    special: cython.uint = cpus[c + 2] & ~DEEP
    flags: cython.uint = cpus[c + 12]
    depths: cython.ulonglong = clocks[cpu * 16 + 5]
    push: cython.uint = flags & OPEN
    worth: cython.uint = 1
    shift: cython.ulonglong
    if cpus[c + 13] + 3 > st[37]:
        return 2
    if special:
        _seen(st, special, cpu, t)
        st[8] += special & 1
        special &= ~cython.cast(cython.uint, 1)

    if kind == 17:  # SET_PTE
        item |= w & MASK32
        push = (w & MASK32) != 0
    elif kind == 15:  # ENTER_MMU
        push = 1
        cpus[c + 8] = 1 if flags & SWITCHED else cpus[c + 8] + 1
    elif kind == 16:  # LEAVE_MMU
        push = 1
        cpus[c + 8] -= cpus[c + 8] != 0
    elif kind >= 19 and kind <= 24:  # IRQ, NMI, FAULT: ENTER is odd, EXIT even
        worth = 0
        shift = (kind - 19 >> 1) * 21
        if kind & 1:
            push = 1
            depths += ONE << shift
        elif depths >> shift & 0x1FFFFF:
            depths -= ONE << shift
        else:  # a fault that slept has lost its depth at the switch
            push = 0
            st[8] += kind != 24
        clocks[cpu * 16 + 5] = depths
    elif kind == 26:  # USER
        worth = 0
        depths = 0
        clocks[cpu * 16 + 5] = 0
        cpus[c + 12] = flags & ~AFTER
    elif kind == 27:  # FLUSH
        push = 1
    elif kind == 30:  # OP
        if w & 0xFFFF >= st[34]:
            return 16
        item |= w & MASK32
        push = 1
    elif kind == 31:  # END
        if flags & WINDOW:
            cpus[c + 12] = flags & ~WINDOW | AFTER
        else:
            st[8] += 1
    # READ_PTE and SLEEP are nothing but their item

    if push:
        _push(cpus, clocks, tasks, buf, st[37], cpu, item, worth, event, t)
    if depths | cpus[c + 8]:
        cpus[c + 2] = special | DEEP
        return 0
    cpus[c + 2] = special
    return -1 if cpus[c + 12] & (OPEN | WINDOW | AFTER) == OPEN else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _state(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    t: cython.ulonglong,
    w: cython.ulonglong,
    event: cython.ulonglong,
) -> cython.int:
    """An event about the state of a task or CPU: all that are no switch and no part of a sequence.

    0, or why not (``MORE_`` and ``BAD_`` in state.py).
    """
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    CPU_MAX: cython.ulonglong = 8192
    MM_MAX: cython.ulonglong = 1 << 24
    USED_MATH: cython.uint = 1 << 2
    NO_MM: cython.uint = 1 << 3
    USEDFPU: cython.uint = 1 << 5
    GS: cython.uint = 1 << 9
    DR: cython.uint = 1 << 11
    IO_BITMAP: cython.uint = 1 << 13
    NOTSC: cython.uint = 1 << 15
    BLOCKSTEP: cython.uint = 1 << 17
    PARKED: cython.uint = 1 << 21
    COUNTER: cython.uint = 0xFF000000
    ACTIVE: cython.uint = 0xFFFFFF
    IN_LAZY_TLB: cython.uint = 1 << 30
    LEFT: cython.uint = cython.cast(cython.uint, 1) << 31
    FOR_PENDING: cython.uint = 1
    NEW: cython.uint = 4
    cpu: cython.ulonglong = w >> 32 & 0xFFFF
    kind: cython.uint = cython.cast(cython.uint, w >> 48 & 0xFF)
    arg: cython.ulonglong = w & MASK32
    c: cython.ulonglong = cpu * 32
    p: cython.ulonglong = cpus[c]
    n: cython.ulonglong
    pf: cython.uint = tasks[p]
    lazy_fpu: cython.uint = cython.cast(cython.uint, st[41])
    special: cython.uint = cpus[c + 2]
    target: cython.ulonglong = p
    who: cython.ulonglong = tasks[p + 5]
    counted: cython.uint = (t - st[46] & MASK64) <= st[47]
    bit: cython.uint = 0
    _seen(st, special, cpu, t)
    if special & FOR_PENDING:
        if (kind >= 7 and kind <= 13) or kind == 33:
            target = cpus[c + 3]
        else:
            st[8] += 1
        cpus[c + 2] = special & ~FOR_PENDING

    # --- who runs, a task's life ---
    if kind == 2:  # ON
        if arg >= st[33]:
            return 11
        st[8] += cpus[c + 15]
        cpus[c + 15] = 1
        cpus[c + 2] &= ~NEW
        n = (arg + CPU_MAX if arg else cpu) * 8
        cpus[c] = cython.cast(cython.uint, n)
        if tasks[n + 1]:
            cpus[c + 1] = tasks[n + 1]
        else:
            cpus[c + 1] |= IN_LAZY_TLB
    elif kind == 4:  # EXEC
        if arg == 0 or arg >= MM_MAX:
            return 13
        pf &= ~(NO_MM | USEDFPU | USED_MATH | GS | DR)
        if st[44]:
            pf &= ~COUNTER
        tasks[p] = pf | (0 if lazy_fpu else USEDFPU)
        tasks[p + 1] = cython.cast(cython.uint, arg)
        tasks[p + 2] = 0
        tasks[p + 3] = 0
        tasks[p + 4] = 0
        cpus[c + 1] = cython.cast(cython.uint, arg)
    elif kind == 5:  # FORK
        if arg == 0 or arg >= st[33]:
            return 11
        n = (arg + CPU_MAX) * 8
        pf &= cython.cast(cython.uint, st[49]) | (COUNTER if pf & USEDFPU else 0)
        tasks[p] = pf
        pf &= ~(NO_MM | USEDFPU | DR | BLOCKSTEP | PARKED)
        tasks[n] = pf | tasks[n] & NO_MM
        if tasks[n + 1] and not lazy_fpu:
            tasks[n] |= USEDFPU
        tasks[n + 2] = tasks[p + 2]
        tasks[n + 3] = tasks[p + 3]
        tasks[n + 4] = tasks[p + 4]
    elif kind == 6:  # EXIT
        # deactivate_mm() clears the selector
        tasks[p] = pf & ~(IO_BITMAP | GS | cython.cast(cython.uint, st[50])) | NO_MM
        tasks[p + 1] = 0
        cpus[c + 1] |= IN_LAZY_TLB

    # --- FPU ---
    elif kind == 3:  # FPU
        if lazy_fpu and not pf & USEDFPU:  # #NM
            if counted:
                _count(table, st, 1 << 26 | cpu << 27 | who << 40, event | who << 40, t)
            tasks[p] = cython.cast(cython.uint, (pf | USEDFPU | USED_MATH) + (1 << 24) & MASK32)
    elif kind == 34:  # KERNEL_FPU
        if lazy_fpu:
            tasks[p] = pf & ~USEDFPU

    # --- state of a task ---
    elif kind == 7:  # TLS
        if w >> 56 > 2:
            return 14
        tasks[target + 2 + (w >> 56)] = cython.cast(cython.uint, arg)
    elif kind == 8:  # LDT
        if tasks[target + 1]:
            ldt[tasks[target + 1]] = cython.cast(cython.uint, arg)
            st[14] |= arg
        else:
            st[8] += 1
    elif kind == 9:  # IOPL
        if arg > 3:
            return 15
        pf = tasks[target] & ~cython.cast(cython.uint, 3 | 1 << 7) & MASK32
        tasks[target] = pf | cython.cast(cython.uint, arg) | (1 << 7 if arg else 0)
    elif kind == 10:
        bit = IO_BITMAP
    elif kind == 11:
        bit = DR
    elif kind == 12:
        bit = NOTSC
    elif kind == 13:
        bit = GS
    elif kind == 33:
        bit = BLOCKSTEP
    elif kind == 32:  # FOR
        if arg >= st[33]:
            return 11
        cpus[c + 3] = cython.cast(cython.uint, (arg + CPU_MAX if arg else cpu) * 8)
        cpus[c + 2] |= FOR_PENDING

    # --- what happens to a CPU ---
    elif kind == 14:  # FLUSH_IPI
        if cpus[c + 1] & (IN_LAZY_TLB | LEFT) == IN_LAZY_TLB and cpus[c + 1] & ACTIVE:
            if counted:
                _count(table, st, 1 << 26 | 1 | cpu << 27 | who << 40, event | who << 40, t)
            cpus[c + 1] |= LEFT
    elif kind == 28:  # LOST
        st[6] += arg
        st[7] += arg == 0
    else:
        return 12

    if bit:
        if arg > 1:
            return 15
        tasks[target] = tasks[target] & ~bit | (bit if arg else 0)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _run(
    ev: cython.const[cython.ulonglong][::1],
    begin: cython.ulonglong,
    end: cython.ulonglong,
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
) -> cython.int:
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    CPU_MAX: cython.ulonglong = 8192
    USED_MATH: cython.uint = 1 << 2
    USEDFPU: cython.uint = 1 << 5
    PARKED: cython.uint = 1 << 21
    COUNTER: cython.uint = 0xFF000000
    IN_LAZY_TLB: cython.uint = 1 << 30
    BLOCK: cython.ulonglong = 1 << 15  # words of a full block of trace.bin
    nr_cpus: cython.ulonglong = st[32]
    nr_tasks: cython.ulonglong = st[33]
    shift: cython.ulonglong = 64 - st[35]
    lazy_fpu: cython.uint = cython.cast(cython.uint, st[41])
    eager_from: cython.uint = cython.cast(cython.uint, st[42])
    any_math: cython.uint = cython.cast(cython.uint, st[43])
    base: cython.ulonglong = st[48]
    kept: cython.uint = cython.cast(cython.uint, st[49])
    switches: cython.ulonglong = 0
    i: cython.ulonglong = begin
    t: cython.ulonglong
    w: cython.ulonglong
    cpu: cython.ulonglong
    kind: cython.uint
    arg: cython.ulonglong
    c: cython.ulonglong
    p: cython.ulonglong
    n: cython.ulonglong
    pf: cython.uint
    nf: cython.uint
    word: cython.uint
    eager: cython.uint
    special: cython.uint
    idle: cython.ulonglong
    key: cython.ulonglong
    slot: cython.ulonglong
    item: cython.ulonglong
    status: cython.int = 0

    while i < end:
        if cython.compiled:  # the block after this one is on its way when its checksum is made
            PV_PREFETCH(cython.address(ev[2 * i + BLOCK]))
        t = ev[2 * i]
        w = ev[2 * i + 1]
        cpu = w >> 32 & 0xFFFF
        kind = cython.cast(cython.uint, w >> 48 & 0xFF)
        if cpu >= nr_cpus:
            status = 10
            break
        c = cpu * 32
        p = cpus[c]
        pf = tasks[p]
        special = cpus[c + 2]
        if st[15]:
            status = 1 if st[15] & 1 else 3
            break

        if kind == 1:  # SWITCH
            arg = w & MASK32
            if arg >= nr_tasks:
                status = 11
                break
            idle = (arg != 0) - cython.cast(cython.ulonglong, 1) & MASK64
            n = (arg + CPU_MAX & ~idle | cpu & idle) * 8
            nf = tasks[n]
            if special | nf & PARKED | (p == n):
                status = _odd_switch(cpus, clocks, tasks, ldt, table, buf, seqtab, arena, st, t, w, base + i)
            else:
                word = cpus[c + 1]
                eager = (nf >> 24) >= eager_from
                eager &= nf >> 2 | any_math
                key = _guards(tasks, ldt, st[14], word, p, n, pf, nf) | eager << 6
                key |= cpu << 27 | arg << 40
                # __unlazy_fpu(prev): saved, or its run of FPU slices ends
                tasks[p] = pf & (kept | (COUNTER if pf & USEDFPU else 0))
                # math_state_restore(next)
                tasks[n] = cython.cast(cython.uint, (nf | eager << 5) + (eager << 24) & MASK32)
                cpus[c] = cython.cast(cython.uint, n)
                cpus[c + 1] = tasks[n + 1] if tasks[n + 1] else word | IN_LAZY_TLB
                switches += 1
                slot = ((key * HASH & MASK64) >> shift) * 2
                if table[slot] == key ^ MASK64:
                    table[slot + 1] += 1
                else:
                    item = cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                    _count(table, st, key, base + i | item, t)
        elif kind == 3:  # FPU
            if special:
                status = _state(cpus, clocks, tasks, ldt, table, st, t, w, base + i)
            elif lazy_fpu and not pf & USEDFPU:  # #NM
                tasks[p] = cython.cast(cython.uint, (pf | USEDFPU | USED_MATH) + (1 << 24) & MASK32)
                item = cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                key = 1 << 26 | cpu << 27 | item
                slot = ((key * HASH & MASK64) >> shift) * 2
                if table[slot] == key ^ MASK64:
                    table[slot + 1] += 1
                else:
                    _count(table, st, key, base + i | item, t)
        elif kind == 29:  # BEGIN
            status = _odd_switch(cpus, clocks, tasks, ldt, table, buf, seqtab, arena, st, t, w, base + i)
        elif kind == 17:  # SET_PTE; a second call keeps _section out of line  # noqa: SIM114
            status = _section(cpus, clocks, tasks, buf, st, t, w, base + i)
        elif kind >= 15 and kind <= 31 and kind != 28:
            status = _section(cpus, clocks, tasks, buf, st, t, w, base + i)
        else:
            status = _state(cpus, clocks, tasks, ldt, table, st, t, w, base + i)
        if status < 0:
            _close(cpus, clocks, tasks, table, buf, seqtab, arena, st, cpu, t)
            status = 0
        elif status:
            break

        # the latest time is what finish() finds, or was overwritten by an earlier one
        if t < clocks[cpu * 16 + 2]:
            st[5] += 1
            if clocks[cpu * 16 + 2] > st[11]:
                st[11] = clocks[cpu * 16 + 2]
            if t < st[10]:
                st[10] = t
        clocks[cpu * 16 + 2] = t
        i += 1

    st[3] += switches
    st[9] = i
    return status


def run(
    ev: cython.const[cython.ulonglong][::1],
    begin: cython.ulonglong,
    end: cython.ulonglong,
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
):
    """Replay events *begin* .. *end* - 1 of *ev*; 0, or why it stopped before event ``st[9]``."""
    status: cython.int
    with cython.nogil:
        status = _run(ev, begin, end, cpus, clocks, tasks, ldt, table, buf, seqtab, arena, st)
    return status


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _scout(
    ev: cython.const[cython.ulonglong][::1],
    begin: cython.ulonglong,
    end: cython.ulonglong,
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
) -> cython.int:
    MASK32: cython.ulonglong = 0xFFFFFFFF
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    CPU_MAX: cython.ulonglong = 8192
    USED_MATH: cython.uint = 1 << 2
    USEDFPU: cython.uint = 1 << 5
    COUNTER: cython.uint = 0xFF000000
    IN_LAZY_TLB: cython.uint = 1 << 30
    BLOCK: cython.ulonglong = 1 << 15  # words of a full block of trace.bin
    nr_cpus: cython.ulonglong = st[32]
    nr_tasks: cython.ulonglong = st[33]
    lazy_fpu: cython.uint = cython.cast(cython.uint, st[41])
    eager_from: cython.uint = cython.cast(cython.uint, st[42])
    any_math: cython.uint = cython.cast(cython.uint, st[43])
    kept: cython.uint = cython.cast(cython.uint, st[49])
    i: cython.ulonglong = begin
    w: cython.ulonglong
    cpu: cython.ulonglong
    kind: cython.uint
    arg: cython.ulonglong
    idle: cython.ulonglong
    n: cython.ulonglong
    p: cython.ulonglong
    pf: cython.uint
    nf: cython.uint
    eager: cython.uint
    status: cython.int = 0
    if st[15]:
        st[9] = i
        return 1 if st[15] & 1 else 3
    while i < end:
        if cython.compiled:  # the block after this one is on its way when its checksum is made
            PV_PREFETCH(cython.address(ev[2 * i + BLOCK]))
        w = ev[2 * i + 1]
        cpu = w >> 32 & 0xFFFF
        kind = cython.cast(cython.uint, w >> 48 & 0xFF)
        if cpu >= nr_cpus:
            status = 10
            break
        p = cpus[cpu * 32]
        pf = tasks[p]
        if kind == 1 or kind == 29:  # SWITCH, BEGIN
            arg = w & MASK32
            if arg >= nr_tasks:
                status = 11
                break
            idle = (arg != 0) - cython.cast(cython.ulonglong, 1) & MASK64
            n = (arg + CPU_MAX & ~idle | cpu & idle) * 8
            tasks[p] = pf & (kept | (COUNTER if pf & USEDFPU else 0))
            nf = tasks[n]
            eager = (nf >> 24) >= eager_from
            eager &= nf >> 2 | any_math
            tasks[n] = cython.cast(cython.uint, (nf | eager << 5) + (eager << 24) & MASK32)
            cpus[cpu * 32] = cython.cast(cython.uint, n)
            cpus[cpu * 32 + 1] = tasks[n + 1] if tasks[n + 1] else cpus[cpu * 32 + 1] | IN_LAZY_TLB
        elif kind == 3:  # FPU
            if lazy_fpu and not pf & USEDFPU:
                tasks[p] = cython.cast(cython.uint, (pf | USEDFPU | USED_MATH) + (1 << 24) & MASK32)
        elif kind < 15 or kind > 31 or kind == 28:
            status = _state(cpus, clocks, tasks, ldt, table, st, ev[2 * i], w, 0)
            if status:
                break
        clocks[cpu * 16 + 2] = ev[2 * i]
        i += 1
        if st[15]:
            status = 1 if st[15] & 1 else 3
            break
    st[9] = i
    return status


def scout(
    ev: cython.const[cython.ulonglong][::1],
    begin: cython.ulonglong,
    end: cython.ulonglong,
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    ldt: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
):
    """Follow events *begin* .. *end* - 1 of *ev* as :func:`run` does, for the state of tasks alone.

    Nothing is counted that is worth reading, and what sections and interrupts leave in a CPU's words is
    left to the events that :func:`run` replays afterwards.
    """
    status: cython.int
    with cython.nogil:
        status = _scout(ev, begin, end, cpus, clocks, tasks, ldt, table, st)
    return status


def finish(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    table: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
):
    """Close the sequences still open at the end, CPU by CPU from ``st[9]``; 0, or what to grow first."""
    cpu: cython.ulonglong
    c: cython.ulonglong
    while st[9] < st[32]:
        cpu = st[9]
        c = cpu * 32
        if st[15]:
            return 1 if st[15] & 1 else 3
        if cpus[c + 12] & 1:
            # worth counting, and not a window merely waiting for the return to user mode
            if cpus[c + 12] & 16 and (cpus[c + 12] & 2 or cpus[c + 8] or clocks[cpu * 16 + 5]):
                st[13] += 1
            _close(cpus, clocks, tasks, table, buf, seqtab, arena, st, cpu, clocks[cpu * 16 + 2])
        if clocks[cpu * 16 + 2] > st[11]:
            st[11] = clocks[cpu * 16 + 2]
        st[9] += 1
    return 0
