"""Graphs on a mobile neural processor, chunk by chunk."""
