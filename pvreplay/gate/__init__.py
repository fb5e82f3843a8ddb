"""The regression gate: what a run costs now, held against a baseline and budgets.

Values in, a verdict out; files and exit codes belong to :mod:`pvreplay.cli.gate`.
"""
