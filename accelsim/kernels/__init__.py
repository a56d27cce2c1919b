"""Bit-accurate arithmetic on plain arrays: integers in, integers and counts of what happened out.

Nothing here knows time, energy, YAML or a component; numpy, scipy and numba are the only imports.
"""
