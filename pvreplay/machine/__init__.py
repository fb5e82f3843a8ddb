"""The simulated machine: resources, pv ops, lazy modes, queues, and the step of one op."""
