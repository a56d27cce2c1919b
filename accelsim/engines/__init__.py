"""Groups of components that together run ops: one file or folder an engine, see `accelsim.engines.engine`.

A file registers its engine in `accelsim.placement.ENGINES`, as plug-ins do.
"""
