"""pvreplay: replay scheduler traces through the x86 paravirt context switch.

The command line is ``pvreplay``; from Python::

    import pvreplay

    replay = pvreplay.open("trace.bin").replay(kernel="2.6.21")
    replay.price("xen").per_switch

docs/api.md tells the whole of it.
"""

__version__ = "0.1.0"

__all__ = [
    "BaselineError",
    "ConfigError",
    "Price",
    "PvreplayError",
    "Recording",
    "Replay",
    "TraceError",
    "UsageError",
    "__version__",
    "open",
]

TYPE_CHECKING = False
if TYPE_CHECKING:  # the names below, for type checkers and editors
    from pvreplay.api import Price, Recording, Replay, open
    from pvreplay.errors import BaselineError, ConfigError, PvreplayError, TraceError, UsageError
else:

    def __getattr__(name):
        """The Python interface, imported when it is asked for: the command line has no use for it."""
        if name not in __all__:
            raise AttributeError(f"module 'pvreplay' has no attribute {name!r}")
        if name.endswith("Error"):
            from pvreplay import errors as where
        else:
            from pvreplay import api as where
        return getattr(where, name)

    def __dir__():
        return sorted({*globals(), *__all__})
