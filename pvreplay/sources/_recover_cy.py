"""Raw records to events: the part that runs for every record.

Compiled, and the same file runs interpreted.  ``run`` consumes the records that need nothing but
table look-ups (a switch between known tasks, FPU and TLB events) and returns at the first one
that changes what is known about a task; ``recover.py`` handles that one and calls again.
``scan`` looks ahead for what the switch path leaves behind after a task's first switch.

Tables, all ``Q`` arrays made by ``recover.py``:

    tasks   2 a task: pid | flags << 32, mm | comm << 32.  Entry 0 is idle.
    cpus    4 a CPU: current task (NOBODY: not known), task last switched out, active mm,
            whether the current slice has its FPU event
    slots   hash table of pids: pid | task << 32, 0 is free; a power of two long
    cr3s    kernel CR3 of each mm, from xen_mmu_write_cr3
    ctl     see C_* below
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from pvreplay._cython_shim import cython

from pvreplay.sources import records
from pvreplay.trace.events import Kind

COMPILED = cython.compiled

# ctl
C_EVENTS = 0  # events written
C_FPU_SEEN = 1  # 1: FPU use follows the x86_fpu events
C_FPU_EVENTS = 2  # FPU events written
C_SLOT_SHIFT = 3  # 64 - log2(len(slots))
C_COUNTS = 8  # 256 counters: records of each type
CTL_WORDS = C_COUNTS + 256

# task flags
T_FPU = 1  # uses the FPU in every slice
T_PENDING = 2  # a system call whose exit has not been seen
T_ENDED = 4  # this life is over; the pid is free
T_NEWBORN = 8  # task_newtask seen, sched_process_fork not yet
T_EXEC_DUE = 16  # has a new mm that no event told of
T_VFORK = 32  # waits for its vfork child
T_EXITED = 64  # gave up its mm
T_BORROWS = 128  # a vfork child that still has its parent's mm

NOBODY = 0xFFFFFFFF

# what scan() finds: bits of its result
S_LOOKED = 1  # the task was switched out inside the window
S_FPU_SAVED = 2  # its registers were saved at a switch out
S_FLUSHED = 4  # TLB flush (CR3 written) in the switch to it
S_CR3 = 8  # Xen wrote a kernel CR3 in the switch to it; the value is in out[1]
S_KTHREAD = 16  # an INFO record says kernel thread
S_USER = 32  # an INFO record says it has user mappings
S_DIES = 64  # its next switch out is its last
S_EXITS = 128  # ... or an EXIT record comes first (and no EXEC before either)
S_SAVES_TOLD = 256  # some FPU save is among the records
S_FLUSHES_TOLD = 512  # some TLB flush is

_SWITCH = cython.declare(cython.ulonglong, records.SWITCH)
_TLB_FLUSH = cython.declare(cython.ulonglong, records.TLB_FLUSH)
_FPU_DEACTIVATED = cython.declare(cython.ulonglong, records.FPU_DEACTIVATED)
_FPU_ACTIVATED = cython.declare(cython.ulonglong, records.FPU_ACTIVATED)
_XEN_CR3 = cython.declare(cython.ulonglong, records.XEN_CR3)
_INFO = cython.declare(cython.ulonglong, records.INFO)
_EXIT = cython.declare(cython.ulonglong, records.EXIT)
_RENAME = cython.declare(cython.ulonglong, records.RENAME)
_EXEC = cython.declare(cython.ulonglong, records.EXEC)
_EVIDENCE = cython.declare(cython.ulonglong, records.MC_BATCH)
_NO_PREV = cython.declare(cython.ulonglong, records.NO_PREV)
_DEAD = cython.declare(cython.ulonglong, records.STATE_DEAD)
_K_ON = cython.declare(cython.ulonglong, Kind.ON << 48)
_K_SWITCH = cython.declare(cython.ulonglong, Kind.SWITCH << 48)
_K_FPU = cython.declare(cython.ulonglong, Kind.FPU << 48)
_K_FLUSH_IPI = cython.declare(cython.ulonglong, Kind.FLUSH_IPI << 48)
_FEW = cython.declare(cython.Py_ssize_t, 512)
_MASK32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_MIX = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_SLOW_NEXT = cython.declare(cython.ulonglong, T_ENDED | T_EXEC_DUE | T_VFORK)
_SLOW_PREV = cython.declare(cython.ulonglong, T_PENDING | T_VFORK)
_FPU = cython.declare(cython.ulonglong, T_FPU)
_SLOW_FOUND = cython.declare(cython.ulonglong, T_ENDED | T_EXEC_DUE)
_NOBODY = cython.declare(cython.ulonglong, NOBODY)

#: Events ``run`` may need room for before it looks again.
RESERVE = 4


def find(slots: cython.ulonglong[::1], shift: cython.int, pid: cython.ulonglong) -> int:
    """The task a pid stands for, 0 if it was never seen."""
    return _find(slots, shift, pid)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find(slots: cython.ulonglong[::1], shift: cython.int, pid: cython.ulonglong) -> cython.ulonglong:
    mask: cython.ulonglong = len(slots) - 1
    at: cython.ulonglong = ((pid * _MIX) & _M64) >> shift
    slot: cython.ulonglong = slots[at]
    while slot != 0:
        if (slot & _MASK32) == pid:
            return slot >> 32
        at = (at + 1) & mask
        slot = slots[at]
    return 0


def put(
    slots: cython.ulonglong[::1], shift: cython.int, pid: cython.ulonglong, task: cython.ulonglong
) -> int:
    """Let *pid* stand for *task*; 1 when that took a free slot, 0 when it replaced a task."""
    mask: cython.ulonglong = len(slots) - 1
    at: cython.ulonglong = ((pid * _MIX) & _M64) >> shift
    while slots[at] != 0 and (slots[at] & _MASK32) != pid:
        at = (at + 1) & mask
    fresh: cython.bint = slots[at] == 0
    slots[at] = pid | task << 32
    return 1 if fresh else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _run(
    words: cython.ulonglong[::1],
    i: cython.Py_ssize_t,
    limit: cython.Py_ssize_t,
    events: cython.ulonglong[::1],
    ctl: cython.ulonglong[::1],
    cpus: cython.ulonglong[::1],
    tasks: cython.ulonglong[::1],
    slots: cython.ulonglong[::1],
    cr3s: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """:func:`run`, whoever has Python's lock."""
    at: cython.Py_ssize_t
    c: cython.Py_ssize_t
    w1: cython.ulonglong
    w2: cython.ulonglong
    w3: cython.ulonglong
    type: cython.ulonglong
    where: cython.ulonglong
    pid: cython.ulonglong
    cur: cython.ulonglong
    nxt: cython.ulonglong
    head: cython.ulonglong
    mm: cython.ulonglong
    comm: cython.ulonglong
    k: cython.Py_ssize_t = 2 * ctl[0]
    room: cython.Py_ssize_t = len(events) - 2 * 4
    nr_cpus: cython.Py_ssize_t = len(cpus) >> 2
    nr_mms: cython.ulonglong = len(cr3s)
    follow_fpu: cython.bint = ctl[1] != 0
    fpu_events: cython.ulonglong = 0
    shift: cython.int = ctl[3]

    while i < limit and k <= room:
        at = 4 * i
        w1 = words[at + 1]
        type = (w1 >> 16) & 0xFF
        c = w1 & 0xFFFF
        if c >= nr_cpus:
            break
        where = (w1 & 0xFFFF) << 32
        c = 4 * c
        if type == _SWITCH:
            cur = cpus[c]
            if cur == _NOBODY:
                break
            w2 = words[at + 2]
            w3 = words[at + 3]
            head = tasks[2 * cur]
            if (head & _MASK32) != (w2 & _MASK32) and ((w1 >> 24) & _NO_PREV) == 0:
                # A switch is missing: a task already met runs here.
                pid = w2 & _MASK32
                cur = 0
                if pid != 0:
                    cur = _find(slots, shift, pid)
                    if cur == 0:
                        break
                head = tasks[2 * cur]
                if ((head >> 32) & _SLOW_FOUND) != 0:
                    break
                events[k] = words[at]
                events[k + 1] = _K_ON | where | cur
                k += 2
                cpus[c + 1] = 0
                cpus[c] = cur
                cpus[c + 3] = 0
                mm = tasks[2 * cur + 1] & _MASK32
                if mm != 0:
                    cpus[c + 2] = mm
                if ((head >> 32) & _FPU) != 0:
                    events[k] = words[at]
                    events[k + 1] = _K_FPU | where
                    k += 2
                    fpu_events += 1
                    cpus[c + 3] = 1
            if cur != 0 and (((head >> 32) & _SLOW_PREV) != 0 or ((w3 >> 48) & 0xFF) >= _DEAD):
                break
            pid = w2 >> 32
            nxt = 0
            if pid != 0:
                nxt = _find(slots, shift, pid)
                if nxt == 0:
                    break
            head = tasks[2 * nxt] >> 32
            if (head & _SLOW_NEXT) != 0:
                break
            events[k] = words[at]
            events[k + 1] = _K_SWITCH | where | nxt
            k += 2
            cpus[c + 1] = cur
            cpus[c] = nxt
            comm = w3 & 0xFFFFFF
            if comm != 0 and cur != 0:
                tasks[2 * cur + 1] = (tasks[2 * cur + 1] & _MASK32) | comm << 32
            mm = tasks[2 * nxt + 1]
            comm = (w3 >> 24) & 0xFFFFFF
            if comm != 0 and nxt != 0:
                mm = (mm & _MASK32) | comm << 32
                tasks[2 * nxt + 1] = mm
            mm = mm & _MASK32
            if mm != 0:
                cpus[c + 2] = mm
            if (head & _FPU) != 0:
                events[k] = words[at]
                events[k + 1] = _K_FPU | where
                k += 2
                fpu_events += 1
                cpus[c + 3] = 1
            else:
                cpus[c + 3] = 0
        elif type == _FPU_DEACTIVATED:
            cur = cpus[c + 1]
            if follow_fpu and cur != 0 and (tasks[2 * cur] & _MASK32) == w1 >> 32:
                if (words[at + 2] & 7) != 0:
                    tasks[2 * cur] = tasks[2 * cur] | _FPU << 32
                else:
                    tasks[2 * cur] = tasks[2 * cur] & (_M64 ^ (_FPU << 32))
        elif type == _FPU_ACTIVATED:
            cur = cpus[c]
            if (
                follow_fpu
                and cur != 0
                and cur != _NOBODY
                and (words[at + 2] & 7) != 0
                and (tasks[2 * cur] & _MASK32) == w1 >> 32
            ):
                tasks[2 * cur] = tasks[2 * cur] | _FPU << 32
                if cpus[c + 3] == 0:
                    cpus[c + 3] = 1
                    events[k] = words[at]
                    events[k + 1] = _K_FPU | where
                    k += 2
                    fpu_events += 1
        elif type == _TLB_FLUSH:
            if (words[at + 2] & _MASK32) == 1:
                events[k] = words[at]
                events[k + 1] = _K_FLUSH_IPI | where
                k += 2
            elif (words[at + 2] & _MASK32) == 0:
                # A switch's own flush is by prev; any other may be the load of exec.
                cur = cpus[c]
                if cur != 0 and cur != _NOBODY:
                    pid = tasks[2 * cur] & _MASK32
                    if pid == w1 >> 32 or (tasks[2 * cpus[c + 1]] & _MASK32) != w1 >> 32:
                        break
        elif type == _XEN_CR3:
            # written in the switch, before "current" changes: it belongs to the task switched to
            cur = cpus[c]
            if (words[at + 2] & _MASK32) == 0 and cur != _NOBODY:
                mm = tasks[2 * cur + 1] & _MASK32
                if mm != 0 and mm < nr_mms and (tasks[2 * cpus[c + 1]] & _MASK32) == w1 >> 32:
                    cr3s[mm] = words[at + 3]
        elif type < _EVIDENCE and type != 0:
            break
        ctl[8 + type] += 1
        i += 1

    ctl[0] = k >> 1
    ctl[2] += fpu_events
    return i


def run(
    words: cython.ulonglong[::1],
    i: cython.Py_ssize_t,
    limit: cython.Py_ssize_t,
    events: cython.ulonglong[::1],
    ctl: cython.ulonglong[::1],
    cpus: cython.ulonglong[::1],
    tasks: cython.ulonglong[::1],
    slots: cython.ulonglong[::1],
    cr3s: cython.ulonglong[::1],
) -> int:
    """Consume records from *i* on; the number of the first record not consumed.

    That is *limit*, or a record that ``recover.py`` must handle, or where *events* is full (less
    than RESERVE events of room are left then).
    """
    stop: cython.Py_ssize_t = limit if limit - i < _FEW else i + _FEW
    # Other threads take a lock that is given up as a sign to wake, for nothing when it is taken back
    # at once: a few records are sooner done.
    i = _run(words, i, stop, events, ctl, cpus, tasks, slots, cr3s)
    if i == stop and stop < limit:
        with cython.nogil:
            i = _run(words, i, limit, events, ctl, cpus, tasks, slots, cr3s)
    return i


def scan(
    words: cython.ulonglong[::1],
    i: cython.Py_ssize_t,
    n: cython.Py_ssize_t,
    pid: cython.ulonglong,
    out: cython.ulonglong[::1],
) -> int:
    """What records *i* .. *n* - 1 tell about a task: S_* bits.

    Record *i* is the one the task is first met in.  When that is the switch to it, what follows on
    that CPU up to the next switch is read for the flush or CR3 write of the switch; they are told
    from later ones of the slice by common_pid, which is still prev's.  out[0] = xfeatures of the
    first save, out[1] = CR3, out[2] = tgid or 0, out[3] = switches to the task without any save
    after them.
    """
    at: cython.Py_ssize_t
    w1: cython.ulonglong
    w2: cython.ulonglong
    type: cython.ulonglong
    cpu: cython.ulonglong = words[4 * i + 1] & 0xFFFF
    prev: cython.ulonglong = 0
    found: cython.int = 0
    unsaved: cython.ulonglong = 0
    entered: cython.bint = False  # inside the switch to it
    leaving: cython.bint = False  # after a switch out of it, on cpu
    decided: cython.bint = False  # whether it dies
    out[0] = 0
    out[1] = 0
    out[2] = 0
    w1 = words[4 * i + 1]
    w2 = words[4 * i + 2]
    if ((w1 >> 16) & 0xFF) == _SWITCH and w2 >> 32 == pid and (w2 & _MASK32) != pid:
        entered = True
        prev = w2 & _MASK32
        i += 1
    while i < n:
        at = 4 * i
        w1 = words[at + 1]
        w2 = words[at + 2]
        type = (w1 >> 16) & 0xFF
        if type == _SWITCH:
            if (w1 & 0xFFFF) == cpu:
                if leaving:
                    unsaved += 1
                leaving = False
                entered = False
            if (w2 & _MASK32) == pid:
                found |= 1
                leaving = True
                cpu = w1 & 0xFFFF
                if not decided:
                    decided = True
                    if ((words[at + 3] >> 48) & 0xFF) >= _DEAD:
                        found |= 64
        elif type == _FPU_DEACTIVATED:
            found |= 256
            if leaving and (w1 & 0xFFFF) == cpu and w1 >> 32 == pid:
                if (found & 2) == 0:
                    out[0] = w2 & _MASK32
                found |= 2
                leaving = False
        elif type == _TLB_FLUSH:
            found |= 512
            if entered and (w1 & 0xFFFF) == cpu and (w2 & _MASK32) == 0 and w1 >> 32 == prev:
                found |= 4
                entered = False
        elif type == _XEN_CR3:
            if entered and (w1 & 0xFFFF) == cpu and (w2 & _MASK32) == 0 and w1 >> 32 == prev:
                found |= 8
                out[1] = words[at + 3]
        elif type == _INFO:
            if (w2 & _MASK32) == pid:
                if out[2] == 0:
                    out[2] = w2 >> 32
                if ((w1 >> 24) & 1) != 0:
                    found |= 16
                if ((w1 >> 24) & 2) != 0:
                    found |= 32
        elif type in (_EXIT, _EXEC) and (w2 & _MASK32) == pid and not decided:
            decided = True
            if type == _EXIT:
                found |= 128
        i += 1
    out[3] = unsaved
    return found


def loads_ahead(
    words: cython.ulonglong[::1], i: cython.Py_ssize_t, n: cython.Py_ssize_t, pid: cython.ulonglong
) -> bool:
    """Whether one of records *i* + 1 .. *n* - 1 tells when the task loads the mm of an exec.

    That is a TLB flush of its own outside switches, or its new name.  Record *i* counts when it
    is the switch out of the task: the flush after it on that CPU is that switch's.
    """
    at: cython.Py_ssize_t
    w1: cython.ulonglong
    type: cython.ulonglong
    left: cython.ulonglong = 1 << 16  # the CPU whose last switch was out of the task
    while i < n:
        at = 4 * i
        w1 = words[at + 1]
        type = (w1 >> 16) & 0xFF
        if type == _SWITCH:
            if (words[at + 2] & _MASK32) == pid:
                left = w1 & 0xFFFF
            elif (w1 & 0xFFFF) == left:
                left = 1 << 16
        elif type == _TLB_FLUSH:
            if (words[at + 2] & _MASK32) == 0 and w1 >> 32 == pid and (w1 & 0xFFFF) != left:
                return True
        elif (words[at + 2] & _MASK32) == pid:
            if type == _RENAME and w1 >> 32 == pid:
                return True
            if type in (_EXEC, _EXIT):
                return False
        i += 1
    return False


def seek(
    words: cython.ulonglong[::1],
    i: cython.Py_ssize_t,
    n: cython.Py_ssize_t,
    type: cython.ulonglong,
    a: cython.ulonglong,
) -> int:
    """The first of records *i* .. *n* - 1 that has this type and this ``a``; -1 when there is none."""
    while i < n:
        if ((words[4 * i + 1] >> 16) & 0xFF) == type and (words[4 * i + 2] & _MASK32) == a:
            return i
        i += 1
    return -1
