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
from regrow.sparsity.attaching import attach
from regrow.sparsity.densities import ER, ERK, Table, Uniform
from regrow.sparsity.density_schedules import Cubic, Hold, Sigmoid
from regrow.sparsity.drop import (
    Magnitude,
    MagnitudeAndGradient,
    RandomDrop,
    RelativeImportance,
    Signs,
    Soft,
    Taylor,
)
from regrow.sparsity.growth import GradientGrowth, MomentumGrowth, NeverActiveFirst, RandomGrowth
from regrow.sparsity.hebb import CannistraciHebb, Chained
from regrow.sparsity.initial import GivenMask, MagnitudeMask, RandomMask, SaliencyMask
from regrow.sparsity.methods._method import Method
from regrow.sparsity.methods.channel import Channel
from regrow.sparsity.methods.cht import CHT
from regrow.sparsity.methods.cht_s import CHTs
from regrow.sparsity.methods.cht_ss import CHTss
from regrow.sparsity.methods.dense import Dense
from regrow.sparsity.methods.gmp import GMP
from regrow.sparsity.methods.granet import GraNet
from regrow.sparsity.methods.magnitude import MagnitudeAtInit
from regrow.sparsity.methods.mest_em import MESTEM
from regrow.sparsity.methods.mest_ems import MESTEMS
from regrow.sparsity.methods.nm import NM
from regrow.sparsity.methods.pulse import PulsedDense
from regrow.sparsity.methods.rigl import RigL
from regrow.sparsity.methods.rigl_itop import RigLITOP
from regrow.sparsity.methods.set import SET
from regrow.sparsity.methods.set_itop import SETITOP
from regrow.sparsity.methods.snip import SNIP
from regrow.sparsity.methods.srigl import SRigL
from regrow.sparsity.methods.static import Static
from regrow.sparsity.planning import plan
from regrow.sparsity.schedules import Constant, Cosine, Epochs, Every, Linear, Never, Power, Stages, Updates, Value
from regrow.sparsity.sparsifier import Sparsifier
from regrow.sparsity.steps import DropGrow, Pulse, SoftBound
from regrow.sparsity.structures.fan_in import FanIn, RandomFanIn
from regrow.sparsity.structures.filters import Filters, RandomFilters
from regrow.sparsity.structures.n_of_m import NOfM, RandomNOfM
from regrow.sparsity.topologies import ReceptiveField, ScaleFree, SmallWorld
from regrow.sparsity.update import Criterion, Layer, Rewired, Rule, Step

__all__ = [
    "CHT",
    "ER",
    "ERK",
    "GMP",
    "MESTEM",
    "MESTEMS",
    "NM",
    "SET",
    "SETITOP",
    "SNIP",
    "CHTs",
    "CHTss",
    "CannistraciHebb",
    "Chained",
    "Channel",
    "Constant",
    "Cosine",
    "Criterion",
    "Cubic",
    "Dense",
    "DropGrow",
    "Epochs",
    "Every",
    "FanIn",
    "Filters",
    "GivenMask",
    "GraNet",
    "GradientGrowth",
    "Hold",
    "Layer",
    "Linear",
    "Magnitude",
    "MagnitudeAndGradient",
    "MagnitudeAtInit",
    "MagnitudeMask",
    "Method",
    "MomentumGrowth",
    "NOfM",
    "Never",
    "NeverActiveFirst",
    "Power",
    "Pulse",
    "PulsedDense",
    "RandomDrop",
    "RandomFanIn",
    "RandomFilters",
    "RandomGrowth",
    "RandomMask",
    "RandomNOfM",
    "ReceptiveField",
    "RelativeImportance",
    "Rewired",
    "RigL",
    "RigLITOP",
    "Rule",
    "SRigL",
    "SaliencyMask",
    "ScaleFree",
    "Sigmoid",
    "Signs",
    "SmallWorld",
    "Soft",
    "SoftBound",
    "Sparsifier",
    "Stages",
    "Static",
    "Step",
    "Table",
    "Taylor",
    "Uniform",
    "Updates",
    "Value",
    "attach",
    "cost",
    "methods",
    "plan",
]
