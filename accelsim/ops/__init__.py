"""What ops mean, apart from any hardware: one file an op or a close group, see `accelsim.ops.op`.

A file registers its ops in `OPS`, as plug-ins do; it is imported when a network first asks for it.
"""
