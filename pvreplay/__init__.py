"""pvreplay: replay scheduler traces through the x86 paravirt context switch."""

__version__ = "0.1.0"
