# What other compiled modules call without going through Python.

cdef Py_ssize_t decode_range(
    const unsigned char[::1] data,
    unsigned long long[::1] words,
    Py_ssize_t first,
    Py_ssize_t last,
    unsigned long long tag,
    long long[::1] programs,
    const unsigned char[::1] numbers,
    unsigned long long[::1] keys,
    unsigned int[::1] table,
    long long[::1] state,
    unsigned long long[::1] memo,
) noexcept nogil

cpdef unsigned long long comm_of(
    const unsigned char[::1] data,
    Py_ssize_t at,
    long long size,
    unsigned long long[::1] keys,
    unsigned int[::1] table,
    long long[::1] state,
    unsigned long long[::1] memo,
    unsigned long long owner,
) noexcept nogil
