"""The corruptions of ImageNet-C-bar and CIFAR-10-C-bar (Mintun et al. 2021, arXiv:2102.11273)."""
