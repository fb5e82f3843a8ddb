"""Perfetto's generic events, compiled: those that have no message of their own.

A GenericFtraceEvent (protos/perfetto/trace/ftrace/generic.proto) has the event's name and its fields by
name.  ``_perfetto_cy.scan`` leaves a record that says where one stands; :func:`resolve` is called once
for what it has found and makes those records real.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

from pvreplay.sources import records

COMPILED = cython.compiled

GENERIC = 255
"""Type of a record whose words 2 and 3 are where the event starts and ends."""
_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_PRIME = cython.declare(cython.ulonglong, 0x100000001B3)
_GENERIC = cython.declare(cython.ulonglong, GENERIC)
_TLB_FLUSH = cython.declare(cython.ulonglong, records.TLB_FLUSH)
_DEACTIVATED = cython.declare(cython.ulonglong, records.FPU_DEACTIVATED)
_ACTIVATED = cython.declare(cython.ulonglong, records.FPU_ACTIVATED)
_XEN_CR3 = cython.declare(cython.ulonglong, records.XEN_CR3)


def hash_name(name: bytes) -> int:
    """A name as ``resolve`` knows it (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in name:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


_N_FLUSH = cython.declare(cython.ulonglong, hash_name(b"tlb_flush"))
_N_DEACTIVATED = cython.declare(cython.ulonglong, hash_name(b"x86_fpu_regs_deactivated"))
_N_ACTIVATED = cython.declare(cython.ulonglong, hash_name(b"x86_fpu_regs_activated"))
_N_CR3 = cython.declare(cython.ulonglong, hash_name(b"xen_mmu_write_cr3"))
_N_REASON = cython.declare(cython.ulonglong, hash_name(b"reason"))
_N_PAGES = cython.declare(cython.ulonglong, hash_name(b"pages"))
_N_XFEATURES = cython.declare(cython.ulonglong, hash_name(b"xfeatures"))
_N_LOAD = cython.declare(cython.ulonglong, hash_name(b"load_fpu"))
_N_FPU = cython.declare(cython.ulonglong, hash_name(b"fpu"))
_N_KERNEL = cython.declare(cython.ulonglong, hash_name(b"kernel"))
_N_WRITTEN = cython.declare(cython.ulonglong, hash_name(b"cr3"))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _number(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    out: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Put the varint at *at* into out[0]; where it ends, *stop* + 1 when it does not."""
    value: cython.ulonglong = 0
    shift: cython.int = 0
    byte: cython.ulonglong
    while at < stop and shift < 70:
        byte = data[at]
        at += 1
        if shift < 64:
            value |= ((byte & 0x7F) << shift) & _M64
        if byte < 0x80:
            out[0] = value
            return at
        shift += 7
    return stop + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _field(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    out: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """The field at *at*: out[1] its tag, out[0] its number or size, out[2] where its bytes start.

    Returns where it ends, *stop* + 1 when it is malformed.
    """
    at = _number(data, at, stop, out)
    if at > stop:
        return at
    out[1] = out[0]
    if out[1] & 7 == 0:
        return _number(data, at, stop, out)
    if out[1] & 7 == 1:
        at += 8
    elif out[1] & 7 == 5:
        at += 4
    elif out[1] & 7 == 2:
        at = _number(data, at, stop, out)
        if at > stop or out[0] > cython.cast(cython.ulonglong, stop - at):
            return stop + 1
        out[2] = cython.cast(cython.ulonglong, at)
        at += cython.cast(cython.Py_ssize_t, out[0])
    else:
        return stop + 1
    return at if at <= stop else stop + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash(data: "const unsigned char[::1]", out: cython.ulonglong[::1]) -> cython.ulonglong:
    """The hash of the bytes of the field in *out*, without a group ("tlb/") before a name."""
    at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, out[2])
    stop: cython.Py_ssize_t = at + cython.cast(cython.Py_ssize_t, out[0])
    value: cython.ulonglong = 0xCBF29CE484222325
    while at < stop:
        if data[at] == 47 or data[at] == 58:
            value = 0xCBF29CE484222325
        else:
            value = ((value ^ data[at]) * _PRIME) & _M64
        at += 1
    return value


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _resolve(
    data: "const unsigned char[::1]",
    words: cython.ulonglong[::1],
    w: cython.Py_ssize_t,
    out: cython.ulonglong[::1],
) -> cython.bint:
    """Make the record at *w* real; False for an event of no use, or a malformed one."""
    at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, words[w + 2])
    stop: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, words[w + 3])
    inner: cython.Py_ssize_t
    end: cython.Py_ssize_t
    event: cython.ulonglong = 0
    name: cython.ulonglong
    value: cython.ulonglong
    type: cython.ulonglong
    a: cython.ulonglong = 0
    b: cython.ulonglong = 0
    c: cython.ulonglong = 0
    told: cython.bint = False
    while at < stop:
        at = _field(data, at, stop, out)
        if at > stop:
            return False
        if out[1] == 10:
            event = _hash(data, out)
        elif out[1] == 18:
            inner = cython.cast(cython.Py_ssize_t, out[2])
            end = at
            name = 0
            value = 0
            while inner < end:
                inner = _field(data, inner, end, out)
                if inner > end:
                    return False
                if out[1] == 10:
                    name = _hash(data, out)
                elif out[1] in (32, 40):
                    value = out[0]
            if name in (_N_REASON, _N_XFEATURES):
                a = value
                told = True
            elif name in (_N_PAGES, _N_LOAD):
                b = value
            elif name == _N_FPU:
                c = value
            elif name == _N_KERNEL:
                a = 0 if value else 1
            elif name == _N_WRITTEN:
                c = value
                told = True
    if event == _N_FLUSH:
        type = _TLB_FLUSH
    elif event == _N_DEACTIVATED:
        type = _DEACTIVATED
    elif event == _N_ACTIVATED:
        type = _ACTIVATED
    elif event == _N_CR3:
        type = _XEN_CR3
    else:
        return False
    words[w + 1] = (words[w + 1] & (_M64 ^ _GENERIC << 16)) | type << 16
    words[w + 2] = (a & _M32) | (b & _M32) << 32
    words[w + 3] = c
    return told


@cython.boundscheck(False)
@cython.wraparound(False)
def resolve(
    data: "const unsigned char[::1]",
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    found: cython.Py_ssize_t,
    out: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Make the generic records of [first, found) real, and drop those of no use; the new end.

    *out* is room for three words.
    """
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = first
    k: cython.Py_ssize_t
    with cython.nogil:
        for i in range(first, found):
            if (words[4 * i + 1] >> 16) & 0xFF == _GENERIC and not _resolve(data, words, 4 * i, out):
                continue
            if n < i:
                for k in range(4):
                    words[4 * n + k] = words[4 * i + k]
            n += 1
    return n
