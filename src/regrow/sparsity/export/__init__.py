"""Sparse networks leave the house: one file is one form.

compact         ``.rgz``: mask bits and active values, near the smallest a file can be
csr             compressed rows, and linear layers that run on them
semi_structured 2:4 for GPUs that multiply it
compaction      a smaller dense network of the same outputs
onnx            for other runtimes
measure         time and memory, before and after
resize          a network in the shapes of a smaller state, to load it again
formats         all of it in one call
"""
