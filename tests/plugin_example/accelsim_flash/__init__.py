"""Parts of chips and networks that accelsim does not have."""
