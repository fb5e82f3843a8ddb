# A hint to the processor, where the compiler has one, and reading at a place of a file.

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
