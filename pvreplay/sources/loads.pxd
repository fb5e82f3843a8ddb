# loads.py for compiled modules: each gets its own copy, so no read is a call.

cdef inline unsigned long long load16(const unsigned char[::1] data, Py_ssize_t at) noexcept nogil:
    return (<const unsigned short *>&data[at])[0]

cdef inline unsigned long long load32(const unsigned char[::1] data, Py_ssize_t at) noexcept nogil:
    return (<const unsigned int *>&data[at])[0]

cdef inline unsigned long long load64(const unsigned char[::1] data, Py_ssize_t at) noexcept nogil:
    return (<const unsigned long long *>&data[at])[0]
