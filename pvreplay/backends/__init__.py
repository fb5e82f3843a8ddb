"""Backends as data: what becomes of each pv op, versioned by kernel."""
