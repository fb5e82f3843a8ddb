# What _ring_cy.py has from C: a hint to the processor that some memory will be read soon.

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define pv_fetch(at) __builtin_prefetch(at)
    #else
    #define pv_fetch(at) ((void)(at))
    #endif
    """
    void pv_fetch(const void *at) noexcept nogil
