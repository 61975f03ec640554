"""Dynamic sparse training for any PyTorch loop: `attach` a method to a model and its optimiser, and train as before.

Example:
    >>> import torch
    >>> from regrow.sparsity import RigL, attach
    >>> model = torch.nn.Linear(20, 10)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> sparsifier = attach(model, optimizer, RigL(0.5), total_steps=1000)
    >>> int(sparsifier.masks["weight"].sum()), int((model.weight != 0).sum())
    (100, 100)
"""

from regrow.sparsity import cost, methods
from regrow.sparsity.densities import ERK, Uniform
from regrow.sparsity.drop import Magnitude, Signs
from regrow.sparsity.growth import GradientGrowth, RandomGrowth
from regrow.sparsity.initial import RandomMask
from regrow.sparsity.methods._method import Method
from regrow.sparsity.methods.dense import Dense
from regrow.sparsity.methods.rigl import RigL
from regrow.sparsity.methods.set import SET
from regrow.sparsity.methods.static import Static
from regrow.sparsity.planning import plan
from regrow.sparsity.schedules import Constant, Cosine, Epochs, Every, Never, Updates
from regrow.sparsity.sparsifier import Sparsifier, attach
from regrow.sparsity.update import Layer

__all__ = [
    "ERK",
    "SET",
    "Constant",
    "Cosine",
    "Dense",
    "Epochs",
    "Every",
    "GradientGrowth",
    "Layer",
    "Magnitude",
    "Method",
    "Never",
    "RandomGrowth",
    "RandomMask",
    "RigL",
    "Signs",
    "Sparsifier",
    "Static",
    "Uniform",
    "Updates",
    "attach",
    "cost",
    "methods",
    "plan",
]
