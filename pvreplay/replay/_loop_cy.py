"""The replay loop: events in, counts of distinct units out.

Ordinary Python in Cython's pure-Python mode.  Nothing is allocated here: the
caller (:mod:`pvreplay.replay.state`) owns every array, and when one is too
small :func:`run` returns *before* the event that needs more room has had any
effect, so that the caller can grow it and go on.  Every number taken from an
event is range-checked before it becomes an index.

Arrays
    ``cpus``    32 words of 32 bits a CPU; its first 64 bytes are what a switch needs
        0 current task's row   1 active mm   2 TLB state   3 special   4 row named by FOR
        8 lazy MMU depth  9 irq  10 nmi  11 fault depth  12 sequence flags  13 its length
        14 the task that was current when it began
    ``clocks``  the same memory as 64-bit words, 16 a CPU
        3 time of its last event   8 first event of the open sequence   9 its time
    ``tasks``   8 words a task: 0 flags, 1 mm, 2-4 TLS words, 5 id.  Row r starts
        at word 8*r; the idle task of CPU c is row c, task t is row CPU_MAX + t.
        A "row" kept in ``cpus`` is that first word.
    ``ldt``     LDT identity of each mm; ldt[0] stays 0
    ``table``   open-addressing hash table, two words a slot: key, count (0 = free)
    ``first``   two words a slot: first event | previous task << 40, its time
    ``buf``     room for the open sequence of each CPU
    ``seqtab``  hash table of sequence numbers: hash high half << 32 | number + 1
    ``seqoff``  where sequence n starts in ``arena``; one more entry than sequences
    ``par``     the parameters, ``st`` the totals: see ``P_`` and ``S_`` in state.py

Task flags are placed so that a shape comes out of masks and shifts: a flag at
its "prev" bit of :mod:`pvreplay.machine.shape`, the "next" bit being one above.
    0-1 iopl  2 used_math  3 no mm  5 TS_USEDFPU  9 gs  11 dr  13 io_bitmap
    15 notsc  17 blockstep  21 parked  24-31 fpu_counter
TLB state: 1 known (OK or LAZY), 2 LAZY, 4 own bit set in the mm's mask, 8 started.
Special (why a switch takes the long way): 1 FOR pending, 2 a depth is not 0.
Sequence flags: 1 open, 2 in begin..end, 4 after end, 8 switched inside, 16 worth counting.

A key is payload | CPU << 27 | task << 40; payload is the shape, or bit 26 and
0 for #NM, 1 for leave_mm, 2 + n for sequence n.

C integers wrap and Python's do not: whatever may exceed its width is masked.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from pvreplay._cython_shim import cython


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _count(
    table: cython.ulonglong[::1],
    first: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    bits: cython.ulonglong,
    key: cython.ulonglong,
    event_prev: cython.ulonglong,
    time: cython.ulonglong,
) -> cython.void:
    """Count *key* once; the caller has made sure of a free slot."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    last: cython.ulonglong = ((cython.cast(cython.ulonglong, 1) << bits) - 1) * 2
    slot: cython.ulonglong = ((key * HASH & MASK64) >> (64 - bits)) * 2
    while table[slot] != key or table[slot + 1] == 0:
        if table[slot + 1] == 0:
            table[slot] = key
            first[slot] = event_prev
            first[slot + 1] = time
            st[0] += 1
            break
        slot = (slot + 2) & last
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
    if cpus[c + 12] & 1 == 0:
        length = 0
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
    first: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    seqoff: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    par: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
    cpu: cython.ulonglong,
    counted: cython.uint,
) -> cython.void:
    """End the CPU's sequence: give it its number and count it, or drop it when nothing happened in it."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    MASK32: cython.ulonglong = 0xFFFFFFFF
    c: cython.ulonglong = cpu * 32
    at: cython.ulonglong = cpu * par[5]
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
    if worth == 0 or counted == 0:
        return
    h = length
    for i in range(length):
        h = (h ^ buf[at + i]) * HASH & MASK64
        h ^= h >> 29
    slot = h & ((cython.cast(cython.ulonglong, 1) << par[8]) - 1)
    while True:
        entry = seqtab[slot]
        if entry == 0:
            number = st[1]
            start = st[2]
            for i in range(length):
                arena[start + i] = buf[at + i]
            st[1] = number + 1
            st[2] = start + length
            seqoff[number + 1] = start + length
            seqtab[slot] = (h >> 32) << 32 | (number + 1)
            break
        if entry >> 32 == h >> 32:
            number = (entry & MASK32) - 1
            start = seqoff[number]
            if seqoff[number + 1] - start == length:
                j = 0
                while j < length and arena[start + j] == buf[at + j]:
                    j += 1
                if j == length:
                    break
        slot = (slot + 1) & ((cython.cast(cython.ulonglong, 1) << par[8]) - 1)
    key = ((1 << 26) + 2 + number) | cpu << 27 | cython.cast(cython.ulonglong, tasks[cpus[c] + 5]) << 40
    _count(
        table,
        first,
        st,
        par[3],
        key,
        clocks[cpu * 16 + 8] | cython.cast(cython.ulonglong, cpus[c + 14]) << 40,
        clocks[cpu * 16 + 9],
    )


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
    first: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    seqoff: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    par: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
) -> cython.int:
    # --- names for numbers; the C compiler folds them ------------------------
    MASK32: cython.ulonglong = 0xFFFFFFFF
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    CPU_MAX: cython.ulonglong = 8192
    MM_MAX: cython.ulonglong = 1 << 24
    # task flags
    USED_MATH: cython.uint = 1 << 2
    NO_MM: cython.uint = 1 << 3
    USEDFPU: cython.uint = 1 << 5
    GS: cython.uint = 1 << 9
    DR: cython.uint = 1 << 11
    IO_BITMAP: cython.uint = 1 << 13
    NOTSC: cython.uint = 1 << 15
    PARKED: cython.uint = 1 << 21
    COUNTER: cython.uint = 0xFF000000
    PLAIN: cython.uint = NO_MM | GS | DR | IO_BITMAP | NOTSC | 1 << 17  # one bit for prev, the next for next
    IN_IRQ: cython.ulonglong = 1 << 23
    PREV_PARKED: cython.ulonglong = 1 << 21
    # TLB state
    KNOWN: cython.uint = 1
    LAZY: cython.uint = 2
    OWN_BIT: cython.uint = 4
    STARTED: cython.uint = 8
    # special and sequence flags
    FOR_PENDING: cython.uint = 1
    DEEP: cython.uint = 2
    OPEN: cython.uint = 1
    WINDOW: cython.uint = 2
    AFTER: cython.uint = 4
    SWITCHED: cython.uint = 8
    PARK: cython.ulonglong = 0x80
    RESUME: cython.ulonglong = 0x81
    # what is returned
    MORE_TABLE: cython.int = 1
    MORE_BUF: cython.int = 2
    MORE_ARENA: cython.int = 3
    BAD_CPU: cython.int = 10
    BAD_TASK: cython.int = 11
    BAD_KIND: cython.int = 12
    BAD_MM: cython.int = 13
    BAD_SLOT: cython.int = 14
    BAD_ARG: cython.int = 15
    BAD_OP: cython.int = 16

    # --- parameters ---------------------------------------------------------
    nr_cpus: cython.ulonglong = par[0]
    nr_tasks: cython.ulonglong = par[1]
    nr_ops: cython.ulonglong = par[2]
    bits: cython.ulonglong = par[3]
    limit: cython.ulonglong = par[4]
    cap: cython.ulonglong = par[5]
    lazy_fpu: cython.uint = cython.cast(cython.uint, par[9])
    eager_from: cython.uint = cython.cast(cython.uint, par[10])
    any_math: cython.uint = cython.cast(cython.uint, par[11])
    reset_on_exec: cython.uint = cython.cast(cython.uint, par[12])
    parks: cython.uint = cython.cast(cython.uint, par[13])
    from_time: cython.ulonglong = par[14]
    span: cython.ulonglong = par[15]
    base: cython.ulonglong = par[16]
    prev_mask: cython.uint = PLAIN
    always_saved: cython.uint = 0
    if lazy_fpu:
        prev_mask = PLAIN | USEDFPU
    else:
        always_saved = USEDFPU

    # --- totals kept in registers -------------------------------------------
    switches: cython.ulonglong = st[3]
    self_switches: cython.ulonglong = st[4]
    disorder: cython.ulonglong = st[5]
    earliest: cython.ulonglong = st[10]
    latest: cython.ulonglong = st[11]
    highest: cython.ulonglong = st[12]

    i: cython.ulonglong
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
    nmm: cython.ulonglong
    amm: cython.ulonglong
    tlb: cython.uint
    user: cython.uint
    change: cython.uint
    eager: cython.uint
    old_ldt: cython.uint
    new_ldt: cython.uint
    shape: cython.ulonglong
    special: cython.uint
    counted: cython.uint
    row: cython.uint
    idle: cython.ulonglong
    key: cython.ulonglong
    slot: cython.ulonglong
    last: cython.ulonglong = ((cython.cast(cython.ulonglong, 1) << bits) - 1) * 2
    flags: cython.uint
    push: cython.uint
    worth: cython.uint
    depth: cython.uint
    item: cython.ulonglong
    target: cython.ulonglong
    bit: cython.uint
    status: cython.int = 0

    i = begin
    while i < end:
        t = ev[2 * i]
        w = ev[2 * i + 1]
        cpu = w >> 32 & 0xFFFF
        kind = cython.cast(cython.uint, w >> 48 & 0xFF)
        arg = w & MASK32
        if cpu >= nr_cpus:
            status = BAD_CPU
            break
        c = cpu * 32
        p = cpus[c]
        pf = tasks[p]
        special = cpus[c + 3]

        if kind == 1 or kind == 29:  # SWITCH, BEGIN
            if arg >= nr_tasks:
                status = BAD_TASK
                break
            idle = MASK64 * (arg == 0) & MASK64
            n = ((arg + CPU_MAX) & ~idle | cpu & idle) * 8
            nf = tasks[n]
            nmm = tasks[n + 1]
            amm = cpus[c + 1]
            tlb = cpus[c + 2]
            old_ldt = ldt[amm]
            new_ldt = ldt[nmm]
            user = nmm != 0
            change = user & (nmm != amm)
            eager = ((nf >> 24) >= eager_from) & ((nf >> 2 | any_math) & 1)
            shape = (
                (pf & prev_mask)
                | (nf & PLAIN) << 1
                | change
                | (change & (old_ldt != new_ldt)) << 1
                | (user & (nmm == amm) & ((tlb >> 2 & 1) ^ 1)) << 2
                | (~pf & NO_MM) << 2 & always_saved
                | eager << 6
                | (((pf ^ nf) & 3) != 0) << 7
                | ((nf & 3) != 0) << 8
                | (old_ldt != 0) << 19
                | (new_ldt != 0) << 20
                | (
                    (tasks[p + 2] != tasks[n + 2])
                    + (tasks[p + 3] != tasks[n + 3])
                    + (tasks[p + 4] != tasks[n + 4])
                )
                << 24
            )
            counted = (t - from_time & MASK64) <= span
            row = counted
            special |= nf & PARKED | counted ^ 1 | (kind != 1)
            if special:
                if st[0] + 3 > limit:
                    status = MORE_TABLE
                    break
                if cpus[c + 13] + 3 > cap:
                    status = MORE_BUF
                    break
                if st[2] + cpus[c + 13] + 3 > par[6] or st[1] + 3 > par[7]:
                    status = MORE_ARENA
                    break
                st[8] += cpus[c + 3] & FOR_PENDING
                if cpus[c + 9] + cpus[c + 10]:
                    shape |= IN_IRQ
                cpus[c + 9] = 0
                cpus[c + 10] = 0
                cpus[c + 11] = 0
                flags = cpus[c + 12]
                if kind == 29:
                    st[8] += flags >> 1 & 1  # the window before it has no END
                    cpus[c + 12] = flags & ~(WINDOW | AFTER)
                    if cpus[c + 8]:
                        cpus[c + 8] = 1
                        cpus[c + 12] |= SWITCHED
                    elif flags & OPEN:
                        _close(
                            cpus, clocks, tasks, table, first, buf, seqtab, seqoff, arena, par, st, cpu, row
                        )
                    item = cython.cast(cython.ulonglong, 29) << 56
                    _push(cpus, clocks, tasks, buf, cap, cpu, item, 1, base + i, t)
                    cpus[c + 12] |= WINDOW
                    row = 0
                elif cpus[c + 8] and parks:
                    shape |= PREV_PARKED
                    _push(cpus, clocks, tasks, buf, cap, cpu, PARK << 56, 1, base + i, t)
                    _close(cpus, clocks, tasks, table, first, buf, seqtab, seqoff, arena, par, st, cpu, row)
                    cpus[c + 8] = 0
                    pf |= PARKED
                    tasks[p] = pf
                    nf = tasks[n]
                elif cpus[c + 8]:
                    item = shape | cython.cast(cython.ulonglong, 1) << 56
                    _push(cpus, clocks, tasks, buf, cap, cpu, item, 1, base + i, t)
                    cpus[c + 8] = 1
                    cpus[c + 12] |= SWITCHED
                    row = 0
                elif flags & (OPEN | WINDOW | AFTER) == OPEN:
                    _close(cpus, clocks, tasks, table, first, buf, seqtab, seqoff, arena, par, st, cpu, row)
                shape |= (nf & PARKED) << 1
            if row:
                key = shape | cpu << 27 | arg << 40
                slot = ((key * HASH & MASK64) >> (64 - bits)) * 2
                while table[slot] != key or table[slot + 1] == 0:
                    if table[slot + 1] == 0:
                        if st[0] >= limit:
                            status = MORE_TABLE
                            break
                        table[slot] = key
                        first[slot] = (base + i) | cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                        first[slot + 1] = t
                        st[0] += 1
                        break
                    slot = (slot + 2) & last
                if status:
                    break
                table[slot + 1] += 1
            switches += counted
            self_switches += p == n
            # __unlazy_fpu(prev): saved, or its run of FPU slices ends
            tasks[p] = pf & (0xFFFFDF | (COUNTER if pf & USEDFPU else 0))
            # math_state_restore(next); the row is read again because prev may be next
            nf = tasks[n]
            tasks[n] = cython.cast(cython.uint, (nf | eager << 5) + (eager << 24) & MASK32)
            if user:
                amm = nmm
                tlb = KNOWN | OWN_BIT | STARTED
            else:
                tlb |= (tlb & KNOWN) << 1 | STARTED
            cpus[c] = cython.cast(cython.uint, n)
            cpus[c + 1] = cython.cast(cython.uint, amm)
            cpus[c + 2] = tlb
            if special:
                if kind == 1 and tasks[n] & PARKED:
                    tasks[n] &= ~PARKED
                    _push(cpus, clocks, tasks, buf, cap, cpu, RESUME << 56, 1, base + i, t)
                    cpus[c + 8] = 1
                cpus[c + 3] = DEEP if cpus[c + 8] else 0

        elif kind == 3:  # FPU
            if lazy_fpu and not pf & USEDFPU:  # #NM
                if st[0] >= limit:
                    status = MORE_TABLE
                    break
                if t - from_time & MASK64 <= span:
                    key = 1 << 26 | cpu << 27 | cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                    item = (base + i) | cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                    _count(table, first, st, bits, key, item, t)
                tasks[p] = cython.cast(cython.uint, (pf | USEDFPU | USED_MATH) + (1 << 24) & MASK32)
            st[8] += special & FOR_PENDING
            cpus[c + 3] = special & DEEP

        else:
            if st[0] + 3 > limit:
                status = MORE_TABLE
                break
            if cpus[c + 13] + 3 > cap:
                status = MORE_BUF
                break
            if st[2] + cpus[c + 13] + 3 > par[6] or st[1] + 3 > par[7]:
                status = MORE_ARENA
                break
            target = p
            if special & FOR_PENDING:
                if (kind >= 7 and kind <= 13) or kind == 33:
                    target = cpus[c + 4]
                else:
                    st[8] += 1
            counted = (t - from_time & MASK64) <= span
            flags = cpus[c + 12]
            push = 0
            worth = 1
            bit = 0
            special = 0

            if kind == 2:  # ON
                if arg >= nr_tasks:
                    status = BAD_TASK
                    break
                st[8] += cpus[c + 2] >> 3 & 1
                n = (arg + CPU_MAX if arg else cpu) * 8
                cpus[c] = cython.cast(cython.uint, n)
                if tasks[n + 1]:
                    cpus[c + 1] = tasks[n + 1]
                    cpus[c + 2] = KNOWN | OWN_BIT | STARTED
                else:
                    cpus[c + 2] |= (cpus[c + 2] & KNOWN) << 1 | STARTED
            elif kind == 4:  # EXEC
                if arg == 0 or arg >= MM_MAX:
                    status = BAD_MM
                    break
                pf &= ~(NO_MM | USEDFPU | USED_MATH | GS | DR)
                if reset_on_exec:
                    pf &= ~COUNTER
                tasks[p] = pf
                tasks[p + 1] = cython.cast(cython.uint, arg)
                tasks[p + 2] = 0
                tasks[p + 3] = 0
                tasks[p + 4] = 0
                cpus[c + 1] = cython.cast(cython.uint, arg)
                cpus[c + 2] = KNOWN | OWN_BIT | cpus[c + 2] & STARTED
            elif kind == 5:  # FORK
                if arg == 0 or arg >= nr_tasks:
                    status = BAD_TASK
                    break
                n = (arg + CPU_MAX) * 8
                pf &= 0xFFFFDF | (COUNTER if pf & USEDFPU else 0)
                tasks[p] = pf
                tasks[n] = pf & ~(NO_MM | DR | PARKED | 1 << 17) | tasks[n] & NO_MM
                tasks[n + 2] = tasks[p + 2]
                tasks[n + 3] = tasks[p + 3]
                tasks[n + 4] = tasks[p + 4]
            elif kind == 6:  # EXIT
                tasks[p] = pf & ~IO_BITMAP | NO_MM
                tasks[p + 1] = 0
                cpus[c + 2] |= (cpus[c + 2] & KNOWN) << 1
            elif kind == 7:  # TLS
                if w >> 56 > 2:
                    status = BAD_SLOT
                    break
                tasks[target + 2 + (w >> 56)] = cython.cast(cython.uint, arg)
            elif kind == 8:  # LDT
                if tasks[target + 1]:
                    ldt[tasks[target + 1]] = cython.cast(cython.uint, arg)
                else:
                    st[8] += 1
            elif kind == 9:  # IOPL
                if arg > 3:
                    status = BAD_ARG
                    break
                tasks[target] = tasks[target] & ~3 & MASK32 | cython.cast(cython.uint, arg)
            elif kind == 10:
                bit = IO_BITMAP
            elif kind == 11:
                bit = DR
            elif kind == 12:
                bit = NOTSC
            elif kind == 13:
                bit = GS
            elif kind == 33:
                bit = 1 << 17  # BLOCKSTEP
            elif kind == 14:  # FLUSH_IPI
                if cpus[c + 2] & (LAZY | OWN_BIT) == LAZY | OWN_BIT:
                    if counted:
                        key = (1 << 26 | 1) | cpu << 27 | cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                        item = (base + i) | cython.cast(cython.ulonglong, tasks[p + 5]) << 40
                        _count(table, first, st, bits, key, item, t)
                    cpus[c + 2] &= ~OWN_BIT
            elif kind == 15:  # ENTER_MMU
                push = 1
                cpus[c + 8] = 1 if flags & SWITCHED else cpus[c + 8] + 1
            elif kind == 16:  # LEAVE_MMU
                push = 1
                cpus[c + 8] -= cpus[c + 8] != 0
            elif kind == 17:  # SET_PTE
                push = arg != 0
            elif kind == 18 or kind == 25:  # READ_PTE, SLEEP
                push = flags & OPEN
            elif kind == 19 or kind == 21 or kind == 23:  # IRQ_ENTER, NMI_ENTER, FAULT_ENTER
                push = 1
                worth = 0
                cpus[c + 9 + (kind - 19 >> 1)] += 1
            elif kind == 20 or kind == 22 or kind == 24:  # IRQ_EXIT, NMI_EXIT, FAULT_EXIT
                worth = 0
                depth = cpus[c + 9 + (kind - 19 >> 1)]
                if depth:
                    cpus[c + 9 + (kind - 19 >> 1)] = depth - 1
                    push = flags & OPEN
                else:  # a fault that slept has lost its depth at the switch
                    st[8] += kind != 24
            elif kind == 26:  # USER
                worth = 0
                push = flags & OPEN
                cpus[c + 9] = 0
                cpus[c + 10] = 0
                cpus[c + 11] = 0
                cpus[c + 12] = flags & ~AFTER
            elif kind == 27:  # FLUSH
                push = 1
            elif kind == 28:  # LOST
                st[6] += arg
                st[7] += arg == 0
            elif kind == 30:  # OP
                if arg & 0xFFFF >= nr_ops:
                    status = BAD_OP
                    break
                push = 1
            elif kind == 31:  # END
                push = flags & OPEN
                if flags & WINDOW:
                    cpus[c + 12] = flags & ~WINDOW | AFTER
                else:
                    st[8] += 1
            elif kind == 32:  # FOR
                if arg >= nr_tasks:
                    status = BAD_TASK
                    break
                cpus[c + 4] = cython.cast(cython.uint, (arg + CPU_MAX if arg else cpu) * 8)
                special = FOR_PENDING
            elif kind == 34:  # KERNEL_FPU
                tasks[p] = pf & ~USEDFPU
            else:
                status = BAD_KIND
                break

            if bit:
                if arg > 1:
                    status = BAD_ARG
                    break
                tasks[target] = tasks[target] & ~bit | (bit if arg else 0)
            if push:
                item = cython.cast(cython.ulonglong, kind) << 56
                if kind == 17 or kind == 30:
                    item |= arg
                _push(cpus, clocks, tasks, buf, cap, cpu, item, worth, base + i, t)
            depth = cpus[c + 8] | cpus[c + 9] | cpus[c + 10] | cpus[c + 11]
            if depth == 0 and cpus[c + 12] & (OPEN | WINDOW | AFTER) == OPEN:
                _close(cpus, clocks, tasks, table, first, buf, seqtab, seqoff, arena, par, st, cpu, counted)
            cpus[c + 3] = special | (DEEP if depth else 0)

        disorder += t < clocks[cpu * 16 + 3]
        clocks[cpu * 16 + 3] = t
        if t < earliest:
            earliest = t
        if t > latest:
            latest = t
        if cpu > highest:
            highest = cpu
        i += 1

    st[3] = switches
    st[4] = self_switches
    st[5] = disorder
    st[9] = i
    st[10] = earliest
    st[11] = latest
    st[12] = highest
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
    first: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    seqoff: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    par: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
):
    """Replay events *begin* .. *end* - 1 of *ev*; 0, or why it stopped before event ``st[9]``."""
    status: cython.int
    with cython.nogil:
        status = _run(
            ev, begin, end, cpus, clocks, tasks, ldt, table, first, buf, seqtab, seqoff, arena, par, st
        )
    return status


def finish(
    cpus: cython.uint[::1],
    clocks: cython.ulonglong[::1],
    tasks: cython.uint[::1],
    table: cython.ulonglong[::1],
    first: cython.ulonglong[::1],
    buf: cython.ulonglong[::1],
    seqtab: cython.ulonglong[::1],
    seqoff: cython.ulonglong[::1],
    arena: cython.ulonglong[::1],
    par: cython.ulonglong[::1],
    st: cython.ulonglong[::1],
):
    """Close the sequences still open at the end, CPU by CPU from ``st[9]``; 0, or what to grow first."""
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    cpu: cython.ulonglong
    c: cython.ulonglong
    counted: cython.uint
    while st[9] < par[0]:
        cpu = st[9]
        c = cpu * 32
        if st[0] + 1 > par[4]:
            return 1
        if st[2] + cpus[c + 13] > par[6] or st[1] + 1 > par[7]:
            return 3
        if cpus[c + 12] & 1:
            counted = (clocks[cpu * 16 + 3] - par[14] & MASK64) <= par[15]
            # worth counting, and not a window merely waiting for the return to user mode
            if cpus[c + 12] & 16 and (
                cpus[c + 12] & 2 or cpus[c + 8] | cpus[c + 9] | cpus[c + 10] | cpus[c + 11]
            ):
                st[13] += 1
            _close(cpus, clocks, tasks, table, first, buf, seqtab, seqoff, arena, par, st, cpu, counted)
        st[9] += 1
    return 0


def move(
    old_table: cython.ulonglong[::1],
    old_first: cython.ulonglong[::1],
    table: cython.ulonglong[::1],
    first: cython.ulonglong[::1],
    bits: cython.ulonglong,
):
    """Put every used slot of a table into a larger one of 2***bits* slots."""
    HASH: cython.ulonglong = 0x1E3779B97F4A7C15
    MASK64: cython.ulonglong = 0x7FFFFFFFFFFFFFFF
    MASK64 = MASK64 * 2 + 1
    last: cython.ulonglong = ((cython.cast(cython.ulonglong, 1) << bits) - 1) * 2
    i: cython.ulonglong
    slot: cython.ulonglong
    i = 0
    while i < cython.cast(cython.ulonglong, old_table.shape[0]):
        if old_table[i + 1]:
            slot = ((old_table[i] * HASH & MASK64) >> (64 - bits)) * 2
            while table[slot + 1]:
                slot = (slot + 2) & last
            table[slot] = old_table[i]
            table[slot + 1] = old_table[i + 1]
            first[slot] = old_first[i]
            first[slot + 1] = old_first[i + 1]
        i += 2
