# What other compiled modules call without going through Python.

cpdef long long event_of(
    unsigned long long id, unsigned long long[::1] ids, unsigned long long mask
) noexcept nogil

cpdef Py_ssize_t scan(
    const unsigned char[::1] data,
    Py_ssize_t end,
    Py_ssize_t until,
    long long[::1] layouts,
    Py_ssize_t id_at,
    Py_ssize_t tail_id,
    unsigned long long[::1] ids,
    const unsigned char[::1] slots,
    const unsigned char[::1] sideband,
    unsigned long long[::1] twins,
    unsigned long long[::1] words,
    Py_ssize_t first,
    Py_ssize_t room,
    Py_ssize_t steps,
    long long[::1] types,
    unsigned long long[::1] state,
) noexcept nogil

cpdef Py_ssize_t guess(
    const unsigned char[::1] data, Py_ssize_t end, Py_ssize_t id_at, unsigned long long[::1] ids
) noexcept nogil
