"""Steps that keep a structure: constant fan-in, N of M, whole filters. One file is one structure."""
