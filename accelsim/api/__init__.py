"""The public functions of Python: what `accelsim.run`, `accelsim.sweep` .. are, and what they return."""
