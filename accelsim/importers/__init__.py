"""Networks of other formats become workloads: what an importer is, and what it writes. One file here per format."""
