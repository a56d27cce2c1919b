"""What a person sees of a run: the record, and the console's tables."""
