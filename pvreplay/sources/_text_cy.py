"""The common lines of ftrace and `perf script` text -> raw records, compiled.

``scan`` takes whole lines out of a block of bytes.  It either understands a line completely, knows
that the line gives no record, or stops in front of it: ``textsource.py`` then gives that line to the
slow parser (``textlines.py``), which defines what every line means.

Tables, made by ``textsource.py``:

    names   hash table of event names, two words a slot: FNV-1a of the name, what to do (ACT_*)
    comms   hash table of task names, three words a slot: the name's bytes in two words, its number
    groups  1024 slots of pid | tgid << 32, what the TGID column last said
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from pvreplay._cython_shim import cython

from pvreplay.sources import records

COMPILED = cython.compiled

# what to do with an event, by its name
ACT_SLOW = 1
ACT_SWITCH = 2
ACT_TLB = 3
ACT_DEACTIVATED = 4
ACT_ACTIVATED = 5
ACT_CR3 = 6
ACT_RAW = 7

# state words, shared with the caller
S_RECORDS = 0  # records in words
S_TIME = 1  # time of the last event line
S_INTEGER = 2  # 1 after a time without a decimal point
S_ENTRIES = 3  # lines of an event, whether it gives a record or not
S_RAW = 4  # a bit for each system call number below RAW_MAX that gives a record
RAW_MAX = 512
S_CPUS = 12  # a bit for each CPU of those lines, modulo 64
STATE_WORDS = 4 + 8 + 1

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_TWO32 = cython.declare(cython.ulonglong, 0x100000000)
_FNV_BASIS = cython.declare(cython.ulonglong, 0xCBF29CE484222325)
_FNV_PRIME = cython.declare(cython.ulonglong, 0x100000001B3)
_MIX = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_SWITCH = cython.declare(cython.ulonglong, records.SWITCH << 16)
_INFO = cython.declare(cython.ulonglong, records.INFO << 16)
_TLB = cython.declare(cython.ulonglong, records.TLB_FLUSH << 16)
_DEACTIVATED = cython.declare(cython.ulonglong, records.FPU_DEACTIVATED << 16)
_ACTIVATED = cython.declare(cython.ulonglong, records.FPU_ACTIVATED << 16)
_CR3 = cython.declare(cython.ulonglong, records.XEN_CR3 << 16)


def hash_name(name: bytes) -> int:
    """FNV-1a, 64 bits: what ``names`` is keyed by."""
    value = 0xCBF29CE484222325
    for byte in name:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def hash_comm(low: int, high: int) -> int:
    """What ``comms`` is keyed by."""
    return (
        (low ^ (high * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)) * 0x9E3779B97F4A7C15
    ) & 0xFFFFFFFFFFFFFFFF


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_digit(byte: cython.int) -> cython.bint:
    return 48 <= byte <= 57


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_word(byte: cython.int) -> cython.bint:
    return 97 <= byte <= 122 or 48 <= byte <= 57 or byte == 95 or 65 <= byte <= 90


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_flag(byte: cython.int) -> cython.bint:
    """Letters, digits and . * # + as in d..2. and dNh4."""
    return (_is_word(byte) and byte != 95) or byte == 46 or byte == 42 or byte == 35 or byte == 43


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _comm(
    data: cython.uchar[::1],
    at: cython.Py_ssize_t,
    length: cython.Py_ssize_t,
    comms: cython.ulonglong[::1],
    mask: cython.ulonglong,
) -> cython.longlong:
    """The number of a task's name; -1 when it has none yet."""
    low: cython.ulonglong = 0
    high: cython.ulonglong = 0
    j: cython.Py_ssize_t
    if length == 0:
        return 0
    if length > 15:
        return -1
    for j in range(length):
        if j < 8:
            low |= cython.cast(cython.ulonglong, data[at + j]) << (8 * j)
        else:
            high |= cython.cast(cython.ulonglong, data[at + j]) << (8 * (j - 8))
    slot: cython.ulonglong = (((low ^ ((high * _MIX) & _M64)) * _MIX) & _M64) >> 32 & mask
    while comms[3 * slot + 2] != 0:
        if comms[3 * slot] == low and comms[3 * slot + 1] == high:
            return cython.cast(cython.longlong, comms[3 * slot + 2])
        slot = (slot + 1) & mask
    return -1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _same(
    data: cython.uchar[::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    text: cython.uchar[::1],
    first: cython.Py_ssize_t,
    length: cython.Py_ssize_t,
) -> cython.bint:
    """Whether data[at:] begins with text[first : first + length]."""
    j: cython.Py_ssize_t
    if at + length > end:
        return False
    for j in range(length):  # noqa: SIM110 - this is C
        if data[at + j] != text[first + j]:
            return False
    return True


# every fixed text of the patterns below, one after the other
_TEXT = (
    b"prev_comm="
    b" prev_pid="
    b" prev_prio="
    b" prev_state="
    b" ==> next_comm="
    b" next_pid="
    b" next_prio="
    b"pages:"
    b" reason:"
    b"x86/fpu: "
    b" load: "
    b" xfeatures: "
    b"kernel cr3 "
    b"user cr3 "
)


def scan(
    data: cython.uchar[::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    perf: cython.bint,
    words: cython.ulonglong[::1],
    names: cython.ulonglong[::1],
    comms: cython.ulonglong[::1],
    groups: cython.ulonglong[::1],
    state: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Consume lines of data[at:end], where data[end - 1] is a newline; where it stopped.

    It stops at *end*, at a line it leaves to the slow parser, or when *words* has no room for two
    more records.
    """
    text: cython.uchar[::1] = bytearray(_TEXT)
    room: cython.Py_ssize_t = len(words) - 8
    name_mask: cython.ulonglong = len(names) // 2 - 1
    comm_mask: cython.ulonglong = len(comms) // 3 - 1
    k: cython.Py_ssize_t = 4 * state[0]
    stop: cython.Py_ssize_t
    with cython.nogil:
        while at < end and k <= room:
            stop = _line(
                data, at, end, perf, words, names, name_mask, comms, comm_mask, groups, state, text, k
            )
            if stop == -1:
                break
            k = 4 * state[0]
            at = stop
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _line(
    data: cython.uchar[::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    perf: cython.bint,
    words: cython.ulonglong[::1],
    names: cython.ulonglong[::1],
    name_mask: cython.ulonglong,
    comms: cython.ulonglong[::1],
    comm_mask: cython.ulonglong,
    groups: cython.ulonglong[::1],
    state: cython.ulonglong[::1],
    text: cython.uchar[::1],
    k: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """One line at *at*: where the next begins, or -1 to leave it to the slow parser."""
    p: cython.Py_ssize_t = at
    q: cython.Py_ssize_t
    start: cython.Py_ssize_t
    far: cython.Py_ssize_t
    pid: cython.ulonglong = 0
    tgid: cython.ulonglong = 0
    cpu: cython.ulonglong = 0
    time: cython.ulonglong = 0
    scale: cython.ulonglong
    value: cython.ulonglong
    slot: cython.ulonglong
    digits: cython.int
    integer: cython.bint = False

    while data[p] == 32 or data[p] == 9:
        p += 1
    start = p
    if data[p] == 10:
        return p + 1
    if data[at] == 9 and data[p] != 60:
        # a call chain: TAB, an address, a symbol (some tools also put a TAB before "<idle>-0")
        q = p
        while _is_digit(data[q]) or 97 <= data[q] <= 102:
            q += 1
        if q - p >= 6 and data[q] == 32 and not (data[q + 1] == 91 and _is_digit(data[q + 2])):
            return _next_line(data, q, end)
        return -1

    # --- the prefix, from the first '[' on to both sides
    far = start + 64
    while data[p] != 91:
        if data[p] == 10 or p >= far:
            return -1
        p += 1
    q = p - 1
    if q <= start or data[q] != 32:
        return -1
    while q > start and data[q] == 32:
        q -= 1
    if not perf and data[q] == 41:
        q -= 1
        scale = 1
        while q > start and _is_digit(data[q]) and scale <= 1000000000:
            tgid += scale * (data[q] - 48)
            scale *= 10
            q -= 1
        if scale == 1:
            while q > start and data[q] == 45:
                q -= 1
        while q > start and data[q] == 32:
            q -= 1
        if q <= start or data[q] != 40:
            return -1
        q -= 1
        if data[q] != 32:
            return -1
        while q > start and data[q] == 32:
            q -= 1
    scale = 1
    while q > start and _is_digit(data[q]) and scale <= 1000000000:
        pid += scale * (data[q] - 48)
        scale *= 10
        q -= 1
    if scale == 1:
        return -1
    if perf:
        if data[q] != 32 or q <= start:
            return -1
    elif data[q] != 45:
        return -1
    # --- CPU
    p += 1
    digits = 0
    while _is_digit(data[p]) and digits < 5:
        cpu = 10 * cpu + (data[p] - 48)
        digits += 1
        p += 1
    if digits == 0 or cpu >= 8192 or data[p] != 93:
        return -1
    p += 1
    while data[p] == 32:
        p += 1
    # --- flags
    if not perf and not _is_digit(data[p]):
        q = p
        while _is_flag(data[p]):
            p += 1
        if p - q < 3 or p - q > 8 or data[p] != 32 or data[q] == 43:
            return -1
        while data[p] == 32:
            p += 1
    # --- time
    digits = 0
    while _is_digit(data[p]) and digits < 10:
        time = 10 * time + (data[p] - 48)
        digits += 1
        p += 1
    if digits == 0:
        return -1
    if data[p] == 46 and digits < 10:
        p += 1
        scale = 1000000000
        while _is_digit(data[p]) and scale > 1:
            time = 10 * time + (data[p] - 48)
            scale //= 10
            p += 1
        if scale == 1000000000:
            return -1
        time *= scale
    elif data[p] == 58 and digits < 10:
        integer = True
    else:
        return -1
    if data[p] != 58 or data[p + 1] != 32 or p < start + 15:
        return -1
    p += 2
    while data[p] == 32:
        p += 1
    # --- the event's name
    value = _FNV_BASIS
    while _is_word(data[p]):
        value = ((value ^ data[p]) * _FNV_PRIME) & _M64
        p += 1
    if data[p] == 58 and _is_word(data[p + 1]):
        if not perf:
            return -1
        p += 1
        value = _FNV_BASIS
        while _is_word(data[p]):
            value = ((value ^ data[p]) * _FNV_PRIME) & _M64
            p += 1
    elif perf:
        return -1
    slot = value & name_mask
    while names[2 * slot + 1] != 0 and names[2 * slot] != value:
        slot = (slot + 1) & name_mask
    slot = names[2 * slot + 1]
    if slot == 1:
        return -1
    q = p
    if slot == 7:
        # raw_syscalls: "NR 54 (..." or "NR 54 = 0"; nearly all of them give nothing
        while data[q] != 78 and data[q] != 10:
            q += 1
        value = 0
        digits = 0
        if data[q] == 78 and data[q + 1] == 82 and data[q + 2] == 32:
            q += 3
            while _is_digit(data[q]) and digits < 4:
                value = 10 * value + (data[q] - 48)
                digits += 1
                q += 1
        if digits == 0 or value >= 512 or data[q] != 32:
            return -1
        if (state[4 + (value >> 6)] >> (value & 63)) & 1 != 0:
            return -1
        slot = 0
    if slot != 0:
        if data[p] != 58 or data[p + 1] != 32:
            return -1
        p += 1
        while data[p] == 32:
            p += 1
    # --- the record, behind what the TGID column says when that is news
    at = k
    if tgid != 0 and groups[pid & 1023] != (pid | tgid << 32):
        at = k + 4
    if slot != 0:
        words[at] = time
        words[at + 1] = cpu | pid << 32
        if slot == 2:
            q = _switch(data, p, end, words, comms, comm_mask, text, at)
        elif slot == 3:
            q = _tlb(data, p, end, words, text, at)
        elif slot == 6:
            q = _cr3(data, p, end, words, text, at)
        else:
            q = _fpu(data, p, end, words, text, at, slot == 4)
        if q == -1:
            return -1
        state[0] += 1
    if at != k:
        groups[pid & 1023] = pid | tgid << 32
        words[k] = time
        words[k + 1] = cpu | _INFO | pid << 32
        words[k + 2] = pid | tgid << 32
        words[k + 3] = 0
        state[0] += 1
    state[1] = time
    state[3] += 1
    state[12] |= cython.cast(cython.ulonglong, 1) << (cpu & 63)
    if integer:
        state[2] = 1
    return _next_line(data, q, end)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _next_line(data: cython.uchar[::1], at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    while at < end and data[at] != 10:
        at += 1
    return at + 1 if at < end else end


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _switch(
    data: cython.uchar[::1],
    p: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    words: cython.ulonglong[::1],
    comms: cython.ulonglong[::1],
    mask: cython.ulonglong,
    text: cython.uchar[::1],
    k: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """prev_comm=X prev_pid=N prev_prio=N prev_state=S ==> next_comm=Y next_pid=N next_prio=N"""
    first: cython.Py_ssize_t
    last: cython.Py_ssize_t
    prev_comm: cython.longlong
    next_comm: cython.longlong
    prev_pid: cython.ulonglong = 0
    next_pid: cython.ulonglong = 0
    scale: cython.ulonglong
    kind: cython.ulonglong
    if not _same(data, p, end, text, 0, 10):
        return -1
    p += 10
    first = p
    last = p + 15
    while not (data[p] == 32 and _same(data, p, end, text, 10, 10)):
        if p >= last or data[p] == 10:
            return -1
        p += 1
    prev_comm = _comm(data, first, p - first, comms, mask)
    if prev_comm < 0:
        return -1
    p += 10
    first = p
    while _is_digit(data[p]) and p - first < 9:
        prev_pid = 10 * prev_pid + (data[p] - 48)
        p += 1
    if p == first or not _same(data, p, end, text, 20, 11):
        return -1
    p += 11
    if data[p] == 45:
        p += 1
    first = p
    while _is_digit(data[p]):
        p += 1
    if p == first or not _same(data, p, end, text, 31, 12):
        return -1
    p += 12
    if data[p] == 82:
        kind = 1
    elif data[p] == 90 or data[p] == 88:
        kind = 4
    elif data[p] == 120:
        kind = 5
    elif _is_word(data[p]) and not _is_digit(data[p]):
        kind = 3
    else:
        return -1
    p += 1
    while data[p] > 32:
        if data[p] == 43:
            kind = 2
        p += 1
    if not _same(data, p, end, text, 43, 15):
        return -1
    p += 15
    first = p
    while data[p] != 10:
        p += 1
    # from the end of the line back
    last = p - 1
    if data[last] == 13:
        last -= 1
    p = last
    while _is_digit(data[p]):
        p -= 1
    if p == last:
        return -1
    if data[p] == 45:
        p -= 1
    p -= 10  # " next_prio=" is 11 bytes, and p is on its '='
    if p <= first or not _same(data, p, end, text, 68, 11):
        return -1
    last = p - 1
    p = last
    scale = 1
    while _is_digit(data[p]) and last - p < 9:
        next_pid += scale * (data[p] - 48)
        scale *= 10
        p -= 1
    p -= 9
    if scale == 1 or p < first or not _same(data, p, end, text, 58, 10):
        return -1
    next_comm = _comm(data, first, p - first, comms, mask)
    if next_comm < 0:
        return -1
    words[k + 1] |= _SWITCH
    words[k + 2] = prev_pid | next_pid << 32
    words[k + 3] = (
        cython.cast(cython.ulonglong, prev_comm) | cython.cast(cython.ulonglong, next_comm) << 24 | kind << 48
    )
    return p


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _tlb(
    data: cython.uchar[::1],
    p: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    words: cython.ulonglong[::1],
    text: cython.uchar[::1],
    k: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """pages:N reason:TEXT (N)"""
    pages: cython.ulonglong = 0
    reason: cython.ulonglong
    negative: cython.bint = False
    first: cython.Py_ssize_t
    last: cython.Py_ssize_t
    if not _same(data, p, end, text, 79, 6):
        return -1
    p += 6
    if data[p] == 45:
        negative = True
        p += 1
    first = p
    while _is_digit(data[p]) and p - first < 18:
        pages = 10 * pages + (data[p] - 48)
        p += 1
    if p == first or not _same(data, p, end, text, 85, 8):
        return -1
    first = p
    while data[p] != 10:
        p += 1
    last = p - 1
    if data[last - 2] != 40 or not _is_digit(data[last - 1]) or data[last] != 41 or last - 3 < first:
        return -1
    reason = data[last - 1] - 48
    pages &= _M32
    if negative:
        pages = (_TWO32 - pages) & _M32
    words[k + 1] |= _TLB
    words[k + 2] = reason | pages << 32
    words[k + 3] = 0
    return p


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hex(byte: cython.int) -> cython.int:
    """The value of a lower-case hexadecimal digit, -1 for anything else."""
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    return -1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _fpu(
    data: cython.uchar[::1],
    p: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    words: cython.ulonglong[::1],
    text: cython.uchar[::1],
    k: cython.Py_ssize_t,
    deactivated: cython.bint,
) -> cython.Py_ssize_t:
    """x86/fpu: POINTER load: N xfeatures: HEX ..."""
    pointer: cython.ulonglong = 0
    load: cython.ulonglong = 0
    features: cython.ulonglong = 0
    first: cython.Py_ssize_t
    if not _same(data, p, end, text, 93, 9):
        return -1
    p += 9
    if data[p] == 48 and data[p + 1] == 120:
        p += 2
    first = p
    while _hex(data[p]) >= 0 and p - first < 16:
        pointer = pointer << 4 | _hex(data[p])
        p += 1
    if p == first or not _same(data, p, end, text, 102, 7):
        return -1
    p += 7
    first = p
    while _is_digit(data[p]) and p - first < 9:
        load = 10 * load + (data[p] - 48)
        p += 1
    if p == first or not _same(data, p, end, text, 109, 12):
        return -1
    p += 12
    first = p
    while _hex(data[p]) >= 0 and p - first < 16:
        features = features << 4 | _hex(data[p])
        p += 1
    if p == first or (data[p] != 32 and data[p] != 10):
        return -1
    words[k + 1] |= _DEACTIVATED if deactivated else _ACTIVATED
    words[k + 2] = (features & _M32) | load << 32
    words[k + 3] = pointer
    return p


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _cr3(
    data: cython.uchar[::1],
    p: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    words: cython.ulonglong[::1],
    text: cython.uchar[::1],
    k: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """kernel cr3 HEX, user cr3 HEX"""
    user: cython.ulonglong = 0
    value: cython.ulonglong = 0
    first: cython.Py_ssize_t
    if _same(data, p, end, text, 121, 11):
        p += 11
    elif _same(data, p, end, text, 132, 9):
        user = 1
        p += 9
    else:
        return -1
    first = p
    while _hex(data[p]) >= 0 and p - first < 16:
        value = value << 4 | _hex(data[p])
        p += 1
    if p == first or data[p] != 10:
        return -1
    words[k + 1] |= _CR3
    words[k + 2] = user
    words[k + 3] = value
    return p
