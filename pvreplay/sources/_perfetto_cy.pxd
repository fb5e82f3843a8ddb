# What other compiled modules call without going through Python.

cpdef unsigned long long varint(const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t stop) noexcept nogil

cpdef Py_ssize_t after(const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t stop) noexcept nogil

cpdef Py_ssize_t skip(
    const unsigned char[::1] data, Py_ssize_t at, Py_ssize_t stop, unsigned long long wire
) noexcept nogil
