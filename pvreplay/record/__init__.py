"""Recording over tracefs: no helper program, nothing but files of the kernel and Python."""
