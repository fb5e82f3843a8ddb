"""perf's stream of records, compiled: samples and side-band records, found and located.

:func:`scan` walks records (include/uapi/linux/perf_event.h: type, misc, size)
and leaves four words for each wanted one, as ``_tracepoint_cy.decode`` takes
them.  What stands where in a sample follows from the sample_type of its event,
laid out by ``perfdata_head.py`` as ``LAYOUT_INTS`` numbers an event.
:func:`guess` finds where records begin in the middle of a file.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.hints import fetch_ahead
    from cython.cimports.pvreplay.sources.loads import load16, load32, load64
else:
    from pvreplay.sources.loads import load16, load32, load64

COMPILED = cython.compiled

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)

LAYOUT_INTS = 16

# Why scan stopped (state[STATUS]).
MORE = 0  # the records in the buffer end inside one, or exactly at its end
FULL = 1  # no room in words
OTHER = 2  # a record the caller has to look at, at state[POS]
BAD = 3  # a record that cannot be, at state[POS]
REACHED = 4  # the next record starts at or behind the place to stop at
COMMS = 5  # the table of names has to grow
UNREAD = 6  # the file cannot be read at state[POS]

# Indexes of scan's state.
POS = 0
STATUS = 1
BAD_SAMPLES = 2  # samples too short for their sample_type
UNKNOWN_IDS = 3  # samples of an event the file does not describe
HIGH_CPUS = 4  # records of a CPU above the limit
LOST_SAMPLES = 5  # sum of PERF_RECORD_LOST_SAMPLES
LOST = 6  # sum of PERF_RECORD_LOST
TWINS = 7  # samples another event of the same tracepoint has recorded too
MAX_TIME = 8
LAST_ROUND = 9  # the latest time when the last FINISHED_ROUND was met
LIMIT = 10  # ... and the one before: everything up to it is complete
START = 11  # part: where its first record begins, and one more; 0 when nothing looks like it
STATE_INTS = 12

CPU_LIMIT = 8192
_HOPS = cython.declare(cython.int, 32)  # records that follow each other where a guess holds


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _spot(id: cython.ulonglong, mask: cython.ulonglong) -> cython.ulonglong:
    mixed: cython.ulonglong = (id * cython.cast(cython.ulonglong, 0x9E3779B1)) & _M32
    return (mixed ^ (mixed >> 15)) & mask


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def event_of(id: cython.ulonglong, ids: cython.ulonglong[::1], mask: cython.ulonglong) -> cython.longlong:
    """The number of the event with this id, -1 when there is none; *ids*: (id, event + 1) by hash."""
    spot: cython.ulonglong = _spot(id, mask)
    while True:
        if ids[cython.cast(cython.Py_ssize_t, spot * 2 + 1)] == 0:
            return -1
        if ids[cython.cast(cython.Py_ssize_t, spot * 2)] == id:
            return cython.cast(cython.longlong, ids[cython.cast(cython.Py_ssize_t, spot * 2 + 1)]) - 1
        spot = (spot + 1) & mask


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _raw_at(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    variable: cython.longlong,
    read_format: cython.longlong,
) -> cython.Py_ssize_t:
    """Where the size of the raw data stands, after a READ part (1) and a CALLCHAIN (2); -1: nowhere."""
    count: cython.ulonglong
    size: cython.ulonglong
    if variable & 1:
        # perf_event_open(2), read_format: a group has a count first and then one entry an event.
        size = 8 + 8 * cython.cast(cython.ulonglong, ((read_format >> 2) & 1) + ((read_format >> 4) & 1))
        count = 1
        if read_format & 8:
            if stop - at < 8:
                return -1
            count = load64(data, at)
            at += 8
        at += 8 * cython.cast(cython.Py_ssize_t, (read_format & 1) + ((read_format >> 1) & 1))
        if at > stop or count > 65536 or count * size > cython.cast(cython.ulonglong, stop - at):
            return -1
        at += cython.cast(cython.Py_ssize_t, count * size)
    if variable & 2:
        if stop - at < 8:
            return -1
        count = load64(data, at)
        at += 8
        if count > 65536 or count * 8 > cython.cast(cython.ulonglong, stop - at):
            return -1
        at += cython.cast(cython.Py_ssize_t, count * 8)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_twin(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    time: cython.ulonglong,
    bit: cython.ulonglong,
    twins: cython.ulonglong[::1],
    cpu: cython.ulonglong,
) -> cython.bint:
    """Whether the CPU's last sample had this payload and came from another event of its tracepoint."""
    t: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, cpu) * 4
    hash: cython.ulonglong = cython.cast(cython.ulonglong, size)
    i: cython.Py_ssize_t = 0
    while i + 4 <= size:
        hash = ((hash ^ load32(data, at + i)) * cython.cast(cython.ulonglong, 0x9E3779B1)) & cython.cast(
            cython.ulonglong, 0xFFFFFFFFFFFF
        )
        hash = hash ^ (hash >> 29)
        i += 4
    while i < size:
        hash = ((hash ^ data[at + i]) * cython.cast(cython.ulonglong, 0x9E3779B1)) & cython.cast(
            cython.ulonglong, 0xFFFFFFFFFFFF
        )
        i += 1
    hash += 1
    if twins[t] == hash and twins[t + 2] & bit == 0 and time >= twins[t + 1] and time - twins[t + 1] < 100000:
        twins[t + 2] |= bit
        return True
    twins[t] = hash
    twins[t + 1] = time
    twins[t + 2] = bit
    return False


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
@cython.boundscheck(False)
@cython.wraparound(False)
def scan(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    until: cython.Py_ssize_t,
    layouts: cython.longlong[::1],
    id_at: cython.Py_ssize_t,
    tail_id: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    slots: "const unsigned char[::1]",
    sideband: "const unsigned char[::1]",
    twins: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    room: cython.Py_ssize_t,
    steps: cython.Py_ssize_t,
    types: cython.longlong[::1],
    state: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Find the wanted of the next *steps* records, those that start in [state[POS], until).

    Returns the end of what is in *words*, at most *room*; it was *first*.  The bytes go on to *end*;
    with *until* > *end* a record is never REACHED.

    *layouts*: LAYOUT_INTS numbers an event, the first 0 for one that is not wanted, 255 for one whose
    payload has to be looked at, else its program.  *id_at*: offset of a sample's id from the start of
    the record, *tail_id*: of another record's from its end; 0 for none (one event).  *ids*: (id,
    event + 1) in an open hash table, a power of two long.  *slots*: 65536 program numbers by
    tracepoint ID.  *sideband*: 256 by record type: 0 not wanted, 255 the caller's business, else a
    program number.  *twins*: four words a CPU, empty when no tracepoint is recorded twice.
    *types*: 256 counts, of records of each type.  FINISHED_ROUND is not a reason to stop: it moves
    state[LIMIT].
    """
    pos: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[0])
    n: cython.Py_ssize_t = first
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(ids) // 2) - 1
    status: cython.ulonglong = 0
    samples: cython.longlong = 0
    most: cython.ulonglong = state[8]
    word: cython.ulonglong
    type: cython.ulonglong
    size: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    raw: cython.Py_ssize_t
    event: cython.longlong
    lay: cython.Py_ssize_t
    time: cython.ulonglong
    cpu: cython.ulonglong
    tid: cython.ulonglong
    slot: cython.ulonglong
    length: cython.ulonglong
    if room > len(words) // 4:
        room = len(words) // 4
    while n < room and steps > 0:
        steps -= 1
        if pos >= until:
            status = 4
            break
        if end - pos < 8:
            break
        word = load64(data, pos)
        if cython.compiled:
            fetch_ahead(data, pos)
        type = word & _M32
        size = cython.cast(cython.Py_ssize_t, word >> 48)
        if type != 9:
            # Not a sample.
            slot = 255
            if type < 256:
                slot = sideband[cython.cast(cython.Py_ssize_t, type)]
            if slot == 255:
                status = 2
                break
            if size < 8:
                status = 3
                break
            if size > end - pos:
                break
            types[cython.cast(cython.Py_ssize_t, type)] += 1
            stop = pos + size
            if type == 13 and size >= 16 and (word >> 47) & 1 == 0:
                state[5] += load64(data, pos + 8)
                state[5] &= _M64
            if type == 68:
                # perf has read every CPU's buffer once more: what is earlier than the latest
                # record of the round before cannot come any more.
                state[10] = state[9]
                state[9] = most
            if slot == 0:
                pos = stop
                continue
            event = 0
            if tail_id and size >= 8 + tail_id:
                event = event_of(load64(data, stop - tail_id), ids, mask)
                if event < 0:
                    event = 0
            lay = cython.cast(cython.Py_ssize_t, event) * 16
            if size < 8 + layouts[lay + 9]:
                state[2] += 1
                pos = stop
                continue
            time = 0
            cpu = 0
            tid = _M32
            if layouts[lay + 6]:
                tid = load32(data, stop - layouts[lay + 6] + 4)
            if layouts[lay + 7]:
                time = load64(data, stop - layouts[lay + 7])
            if layouts[lay + 8]:
                cpu = load32(data, stop - layouts[lay + 8])
            length = cython.cast(cython.ulonglong, size - 8 - layouts[lay + 9])
            if cpu >= 8192:
                # Records perf makes up itself have no CPU (all ones in some versions).
                if time != 0:
                    state[4] += 1
                cpu = 0
            if type == 2 and length >= 16:
                state[6] = (state[6] + load64(data, pos + 16)) & _M64
            words[n * 4] = time
            words[n * 4 + 1] = cpu | slot << 16 | tid << 32
            words[n * 4 + 2] = cython.cast(cython.ulonglong, pos + 8)
            words[n * 4 + 3] = length | ((word >> 32) & 0xFFFF) << 32
            if time > most:
                most = time
            n += 1
            pos = stop
            continue
        if size < 8:
            status = 3
            break
        if size > end - pos:
            break
        stop = pos + size
        samples += 1
        lay = 0
        if id_at:
            event = -1
            if size >= id_at + 8:
                event = event_of(load64(data, pos + id_at), ids, mask)
            if event < 0:
                state[3] += 1
                pos = stop
                continue
            lay = cython.cast(cython.Py_ssize_t, event) * 16
        if layouts[lay] == 0:
            # Not one of our tracepoints.
            pos = stop
            continue
        if size < layouts[lay + 1]:
            state[2] += 1
            pos = stop
            continue
        raw = pos + cython.cast(cython.Py_ssize_t, layouts[lay + 5])
        if layouts[lay + 10]:
            raw = _raw_at(data, raw, stop, layouts[lay + 10], layouts[lay + 11])
        if raw < 0 or stop - raw < 8:
            state[2] += 1
            pos = stop
            continue
        length = load32(data, raw)
        raw += 4
        if length > cython.cast(cython.ulonglong, stop - raw) or length < 2:
            state[2] += 1
            pos = stop
            continue
        slot = cython.cast(cython.ulonglong, layouts[lay])
        if slot >= 255:
            # Events without ids of their own share a layout; the payload tells them apart.
            slot = slots[cython.cast(cython.Py_ssize_t, load16(data, raw))]
            if slot == 0:
                pos = stop
                continue
        cpu = 0
        time = 0
        tid = _M32
        if layouts[lay + 2]:
            tid = load32(data, pos + layouts[lay + 2] + 4)
        if layouts[lay + 3]:
            time = load64(data, pos + layouts[lay + 3])
        if layouts[lay + 4]:
            cpu = load32(data, pos + layouts[lay + 4])
        if cpu >= 8192:
            state[4] += 1
            pos = stop
            continue
        if layouts[lay + 12] and _is_twin(
            data,
            raw,
            cython.cast(cython.Py_ssize_t, length),
            time,
            cython.cast(cython.ulonglong, layouts[lay + 12]),
            twins,
            cpu,
        ):
            state[7] += 1
            pos = stop
            continue
        words[n * 4] = time
        words[n * 4 + 1] = cpu | slot << 16 | tid << 32
        words[n * 4 + 2] = cython.cast(cython.ulonglong, raw)
        words[n * 4 + 3] = length
        if time > most:
            most = time
        n += 1
        pos = stop
    if (n >= room or steps == 0) and status == 0:
        status = 1
    state[0] = cython.cast(cython.ulonglong, pos)
    state[1] = status
    state[8] = most
    types[9] += samples
    return n


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _plausible(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    id_at: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    mask: cython.ulonglong,
) -> cython.Py_ssize_t:
    """The size of the record that seems to stand here; 0 when none does.  At least 8 bytes are there."""
    word: cython.ulonglong = load64(data, at)
    type: cython.ulonglong = word & _M32
    size: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, word >> 48)
    if size < 8 or size & 7 != 0 or type == 0 or type > 86 or 22 < type < 64:
        return 0
    if type == 9 and id_at and (size < id_at + 8 or event_of(load64(data, at + id_at), ids, mask) < 0):
        return 0
    return size


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def guess(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    id_at: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Where the first record in *data* seems to begin; -1 when no place looks like it.

    A place from which a chain of records leads on, each of a known type and a size of whole words,
    samples with a known id.
    """
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(ids) // 2) - 1
    at: cython.Py_ssize_t = 0
    hop: cython.Py_ssize_t
    hops: cython.int
    size: cython.Py_ssize_t
    # No record is longer than its 16 bits of size.
    while at <= 65536 and end - at >= 8:
        hop = at
        hops = 0
        # A sample's id lies in its first 64 bytes.
        while hops < _HOPS and end - hop >= 72:
            size = _plausible(data, hop, id_at, ids, mask)
            if size == 0:
                hops = -1
                break
            hops += 1
            if size > end - hop:
                break
            hop += size
        if hops > 0:
            return at
        at += 8
    return -1


def id_spot(id: cython.ulonglong, mask: cython.ulonglong) -> int:
    """Where in the hash table of ids a search for *id* starts."""
    return _spot(id, mask)
