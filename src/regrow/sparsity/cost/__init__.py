"""What training and inference cost: floating-point operations (2 per multiply-add) and bytes.

`flops` counts a model's forward pass; `training_flops` is the formula of a kind of method, `training_cost` the sum over
the steps that a run really made, `topology_flops` what link prediction adds; `model_bytes` and `memory` are sizes;
`report` puts all of it together for a model with a sparsifier. All but `flops` and `report` take plain numbers, so they
serve for a stored run as well.
"""

from regrow.sparsity.cost.inference import flops
from regrow.sparsity.cost.memory import memory, model_bytes
from regrow.sparsity.cost.summary import report
from regrow.sparsity.cost.training import gradient_steps, topology_flops, training_cost, training_flops

__all__ = [
    "flops",
    "gradient_steps",
    "memory",
    "model_bytes",
    "report",
    "topology_flops",
    "training_cost",
    "training_flops",
]
