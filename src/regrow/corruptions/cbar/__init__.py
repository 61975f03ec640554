"""The corruptions of ImageNet-C-bar and CIFAR-10-C-bar: chosen to be unlike those of ImageNet-C.

Ten types for 224 px and ten for 32 px, five of them in both (Mintun, Kirillov and Xie 2021, arXiv:2102.11273). A
setting is the published real-valued severity; the published names are kept, misspellings included.
"""
