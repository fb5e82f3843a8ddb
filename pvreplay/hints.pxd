# Hints to the processor, where the compiler has them, and reading at a place of a file.

cdef extern from *:
    """
    #include <unistd.h>
    #if defined(__GNUC__)
    #define PV_PREFETCH(at) __builtin_prefetch(at)
    #else
    #define PV_PREFETCH(at) ((void)(at))
    #endif
    """
    void PV_PREFETCH(const void *at) noexcept nogil
    Py_ssize_t pread(int file, void *to, size_t count, long long at) noexcept nogil

cdef inline void fetch_ahead(const unsigned char[::1] data, Py_ssize_t at) noexcept nogil:
    # Memory is slower than a walk over perf's records: have what comes soon on its way.
    PV_PREFETCH(&data[at + 4096])
    PV_PREFETCH(&data[at + 4096 + 64])
