"""Which weights make a channel, which read it, and whether it can be taken out: the channel graph of a model.

The model is traced with torch.fx; each value in the trace carries its channels as runs of `ChannelGroup`s. Values that
an elementwise operation joins (a residual add, a gate) share one group, because a channel can only leave all of them
together. What the rules do not know makes the groups that meet it "not prunable": nothing is guessed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regrow.errors import InputError
from regrow.sparsity import _channel_rules as rules
from regrow.sparsity.layers import WRAPPERS

__all__ = ["ChannelGraph", "ChannelGroup", "Layout", "Span", "Step", "channel_groups", "trace_channels", "unwrap"]


#: The reason of groups that a compaction may still cut, in whole groups.
GROUPED = "it is tied through a group convolution"


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that stand and fall together.

    Attributes:
        size: number of channels.
        producers: names of the weights whose dimension 0 makes these channels, in order of the trace. A depthwise
            convolution (one filter a channel) is a producer of the group that it reads.
        consumers: (weight name, first column, columns a channel) of each weight that reads them: channel ``c`` is
            ``weight[:, first + c * columns : first + (c + 1) * columns]``. More than one column after a flatten.
        norms: names of the batch-norm modules over them.
        biases: names of the producers' biases.
        prunable: whether channels can be taken out.
        reason: why not; empty where they can.
        norm_offsets: place of this group's first channel in each of ``norms`` (0 but after a concatenation).
    """

    size: int
    producers: tuple[str, ...]
    consumers: tuple[tuple[str, int, int], ...]
    norms: tuple[str, ...]
    biases: tuple[str, ...]
    prunable: bool
    reason: str
    norm_offsets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Span:
    """All channels of one set (a key for `ChannelGraph.find`), one after the other within a value."""

    key: int
    size: int


@dataclass(frozen=True)
class Layout:
    """Where the channels of a value lie.

    Attributes:
        spans: the sets, in order.
        last: whether they lie in the last dimension (as after a linear layer) rather than in dimension 1.
        rank: number of dimensions, batch included, or None where the trace does not tell.
        flat: whether each channel is a block of consecutive positions, of a length the trace does not tell.
    """

    spans: tuple[Span, ...]
    last: bool
    rank: int | None
    flat: bool = False

    @property
    def size(self) -> int:
        """Number of channels."""
        return sum(span.size for span in self.spans)

    @property
    def in_dim_1(self) -> bool:
        """Whether the channels are dimension 1."""
        return not self.last or self.rank == 2

    @property
    def in_last(self) -> bool:
        """Whether the channels are the last dimension."""
        return self.last or self.rank == 2


@dataclass(frozen=True)
class Step:
    """One operation of the trace: its node, kind (see `_channel_rules`), tensor inputs, and module's name or ``""``."""

    node: fx.Node
    kind: str
    sources: tuple[fx.Node, ...]
    module: str = ""


@dataclass
class ChannelGraph:
    """A traced model with its groups; `channel_groups` and the compaction are made from it.

    Attributes:
        model: the traced model, without wrappers.
        steps: operations in order.
        layouts: the channels of each node that has any.
        groups: by the number that `find` gives.
        whole: numbers of the groups that are not prunable only because a group convolution ties their channels: they
            can leave in whole groups of it.
        parents: the forest of united sets.
    """

    model: nn.Module
    steps: list[Step] = field(default_factory=list)
    layouts: dict[fx.Node, Layout] = field(default_factory=dict)
    groups: dict[int, ChannelGroup] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    parents: list[int] = field(default_factory=list)

    def find(self, key: int) -> int:
        """The number of a set's group."""
        while self.parents[key] != key:
            key = self.parents[key]
        return key


def channel_groups(model: nn.Module) -> list[ChannelGroup]:
    """The channel groups of a model, in order of their first producer.

    Batch first and channels second are taken for granted, as torch's modules have it. Nothing is run, and the model is
    left as it was; what its forward does in training mode alone is not seen. Attention, group convolutions (but
    depthwise ones), transposed convolutions, reshapes, slices and norms other than batch norm make the groups that
    meet them not prunable.

    Args:
        model: the model, wrapped or not (DistributedDataParallel, compile, Fabric).

    Raises:
        InputError: torch.fx cannot trace the model.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
        >>> first, last = channel_groups(net)
        >>> first.producers, first.consumers, first.prunable
        (('0.weight',), (('3.weight', 0, 36),), True)
        >>> last.reason
        'it is an output of the model'
    """
    return list(trace_channels(model).groups.values())


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of DistributedDataParallel, compile and Fabric."""
    for name in (wrapper[:-1] for wrapper in WRAPPERS):
        if name in model._modules and len(model._modules) == 1:
            return unwrap(cast(nn.Module, model._modules[name]))
    return model


def trace_channels(model: nn.Module) -> ChannelGraph:
    """Trace a model and follow its channels; see `channel_groups`."""
    builder = _Builder(unwrap(model))
    for node in builder.trace().nodes:
        builder.visit(node)
    return builder.finish()


class _Tracer(fx.Tracer):
    """Keeps subclasses of known modules whole where they have the known forward."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = any(isinstance(m, leaf) and type(m).forward is leaf.forward for leaf in rules.LEAVES)
        return known or super().is_leaf_module(m, module_qualified_name)


@dataclass
class _Facts:
    """What is seen of one set of channels, before sets are united."""

    size: int
    producers: list[tuple[str, bool]] = field(default_factory=list)  # module, whether it has a bias
    consumers: list[tuple[str, int, int]] = field(default_factory=list)
    norms: list[tuple[str, int]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class _Builder:
    """Visits the nodes of a trace in order."""

    def __init__(self, model: nn.Module) -> None:
        self.graph = ChannelGraph(model)
        self.modules = dict(model.named_modules())
        self.facts: list[_Facts] = []
        self.uses: Counter[int] = Counter()  # of parameters and statistics, by id
        self.touched: dict[int, set[int]] = {}  # the sets that each of them makes, reads or shifts

    def trace(self) -> fx.Graph:
        model = self.graph.model
        modes = [(module, module.training) for module in model.modules()]
        try:
            model.eval()
            return _Tracer().trace(model)
        except Exception as error:
            raise InputError(
                f"torch.fx cannot trace {type(model).__name__}: {type(error).__name__}: {str(error)[:200]}.",
                "channels can only be followed in models whose forward has no branches that depend on data.",
            ) from error
        finally:
            for module, mode in modes:
                module.training = mode

    def visit(self, node: fx.Node) -> None:
        if node.op == "call_module":
            self._module(node, self.modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            self._function(node)
        elif node.op == "get_attr":
            value: Any = self.graph.model
            for part in str(node.target).split("."):
                value = getattr(value, part)
            self.uses[id(value)] += 2  # as a plain tensor: never to be cut
        elif node.op == "output":
            self._block(node.all_input_nodes, "it is an output of the model")

    def finish(self) -> ChannelGraph:
        for number, keys in self.touched.items():
            for key in keys if self.uses[number] > 1 else ():
                self.facts[key].reasons.append("a weight or norm of it is used more than once")
        members: dict[int, list[_Facts]] = {}
        for key, facts in enumerate(self.facts):
            members.setdefault(self.graph.find(key), []).append(facts)
        self.graph.groups = {root: _merged(parts) for root, parts in members.items()}
        reasons = {root: {reason for facts in parts for reason in facts.reasons} for root, parts in members.items()}
        self.graph.whole = {root for root, given in reasons.items() if given == {GROUPED}}
        return self.graph

    # Steps by modules.

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        name, kind = str(node.target), rules.module_kind(module)
        self.uses.update(id(tensor) for tensor in (*module.parameters(), *module.buffers()))
        computed = isinstance(module, (*rules.WEIGHTED, _BatchNorm)) and "weight" not in module._parameters
        if len(node.all_input_nodes) != 1 or computed:
            kind = "other"
        source = node.all_input_nodes[0] if node.all_input_nodes else node
        layout = self.graph.layouts.get(source)
        if kind in ("conv", "depthwise", "grouped", "linear"):
            self._weighted(node, kind, name, layout)
        elif kind == "norm":
            self._norm(node, name, cast(_BatchNorm, module), layout)
        elif kind == "flatten":
            flatten = cast(nn.Flatten, module)
            self._flatten(node, source, whole=(flatten.start_dim, flatten.end_dim) == (1, -1))
        elif kind == "other" or (kind == "pool" and layout is not None and not layout.in_dim_1):
            self._other(node, f"it goes through {type(module).__name__}, which is not followed")
        else:
            self._record(node, rules.pool_step(module) if kind == "pool" else kind, (source,), layout, name)

    def _weighted(self, node: fx.Node, kind: str, name: str, layout: Layout | None) -> None:
        module, source = self.modules[name], node.all_input_nodes[0]
        weight = cast(Tensor, module.weight)
        made = weight.shape[0]
        if kind == "depthwise" and layout and len(layout.spans) == 1 and layout.size == made and layout.in_dim_1:
            self._produce(layout.spans[0].key, name, module)
            self._record(node, kind, (source,), dataclasses.replace(layout, rank=weight.ndim), name)
            return
        key = self._set(made)
        self._produce(key, name, module)
        rank = (layout.rank if layout else None) if kind == "linear" else weight.ndim
        if kind in ("depthwise", "grouped"):
            kind = "grouped"
            self.facts[key].reasons.append(GROUPED)
            clear = layout and len(layout.spans) == 1 and layout.size == module.in_channels and layout.in_dim_1
            self._block((source,), GROUPED if clear else "its place in a group convolution is not clear")
            self._touch(module, [span.key for span in layout.spans] if layout else [])
            if not clear:
                self.facts[key].reasons.append("the input of its group convolution is not followed")
        elif layout is not None:
            self._consume(source, kind, name, weight)
        self._record(node, kind, (source,), Layout((Span(key, made),), kind == "linear", rank), name)

    def _produce(self, key: int, name: str, module: nn.Module) -> None:
        self.facts[key].producers.append((name, module._parameters.get("bias") is not None))
        self._touch(module, [key])

    def _consume(self, source: fx.Node, kind: str, name: str, weight: Tensor) -> None:
        layout, columns = self.graph.layouts[source], weight.shape[1]
        fits = columns % layout.size == 0 if layout.flat else columns == layout.size
        if not fits or not (layout.in_last if kind == "linear" else layout.in_dim_1):
            self._block((source,), f"its place in {name}.weight is not clear")
            return
        width, first = columns // layout.size, 0
        for span in layout.spans:
            self.facts[span.key].consumers.append((f"{name}.weight", first, width))
            first += span.size * width
        self._touch(self.modules[name], [span.key for span in layout.spans])

    def _norm(self, node: fx.Node, name: str, module: _BatchNorm, layout: Layout | None) -> None:
        if layout is None or layout.flat or layout.size != module.num_features:
            self._other(node, f"the norm {name} does not go over its channels one by one")
            return
        offset = 0
        for span in layout.spans:
            self.facts[span.key].norms.append((name, offset))
            offset += span.size
        self._touch(module, [span.key for span in layout.spans])
        rank = 2 if layout.last else layout.rank  # channels in the last dimension and in dimension 1
        self._record(node, "norm", (node.all_input_nodes[0],), dataclasses.replace(layout, rank=rank), name)

    # Steps by functions and methods.

    def _function(self, node: fx.Node) -> None:
        inputs, name = tuple(node.all_input_nodes), rules.function_name(node)
        known = [n for n in inputs if n in self.graph.layouts]
        if not known:
            self._record(node, "other", inputs, None)
            return
        layout = self.graph.layouts[known[0]]
        if rules.is_shape(node) or (node.op == "call_method" and node.target == "size"):
            if layout.last or rules.reads_channels(node, layout.rank):
                self._block(known, "its number of channels is used in the forward")
        elif name in rules.CONCAT_NAMES:
            self._concat(node, inputs)
        elif name in rules.COMBINE_NAMES and len(inputs) == 2:
            self._combine(node, inputs)
        elif name in ("flatten", "view", "reshape"):
            self._flatten(node, known[0], whole=_is_flatten(node, name))
        elif len(inputs) == 1 and self._carried(node, name, layout):
            return
        else:
            self._other(
                node, f"it goes through {name or getattr(node.target, '__name__', node.target)}, which is not followed"
            )

    def _carried(self, node: fx.Node, name: str, layout: Layout) -> bool:
        """Record a step with one input that leaves the channels where they are; False when it is none."""
        source = node.all_input_nodes[0]
        if name in rules.MAP_NAMES or name in rules.COMBINE_NAMES:
            self._record(node, "map", (source,), layout)
        elif name in rules.SAME_NAMES:
            self._record(node, "same", (source,), layout)
        elif name in rules.DROPOUT_NAMES:
            active = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
            self._record(node, "same" if active is False else "pool_zero", (source,), layout)
        elif name in rules.POOL_NAMES and layout.in_dim_1 and not node.kwargs.get("return_indices"):
            averages = name.startswith("avg")
            plain = len(node.args) <= 3 and not {"padding", "divisor_override"} & set(node.kwargs)
            self._record(node, "pool_zero" if averages and not plain else "same", (source,), layout)
        elif name == "mean" and not layout.last and rules.over_space(_argument(node, "dim"), layout.rank):
            dims: Any = _argument(node, "dim")
            kept = bool(node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False))
            gone = 0 if kept else len(dims) if isinstance(dims, list | tuple) else 1
            self._record(node, "same", (source,), dataclasses.replace(layout, rank=cast(int, layout.rank) - gone))
        else:
            return False
        return True

    def _flatten(self, node: fx.Node, source: fx.Node, *, whole: bool) -> None:
        layout = self.graph.layouts.get(source)
        if layout is None:
            self._record(node, "other", (source,), None)
        elif not whole or not layout.in_dim_1 or layout.flat:
            self._other(node, "it is reshaped")
        else:
            flat = Layout(layout.spans, last=False, rank=2, flat=layout.rank != 2)
            self._record(node, "same", (source,), flat)

    def _concat(self, node: fx.Node, inputs: tuple[fx.Node, ...]) -> None:
        parts: Any = node.args[0] if node.args else node.kwargs.get("tensors")
        dim = _argument(node, "dim", 0)
        layouts = [self.graph.layouts.get(n) for n in parts] if isinstance(parts, list | tuple) else [None]
        clear = [la for la in layouts if la and not la.flat and (la.in_dim_1 if dim == 1 else dim == -1 and la.in_last)]
        if len(clear) != len(layouts) or len({(la.last, la.rank) for la in clear}) != 1:
            self._other(node, "it is concatenated in a way that is not followed")
            return
        spans = tuple(span for layout in clear for span in layout.spans)
        self._record(node, "concat", tuple(parts), dataclasses.replace(clear[0], spans=spans))

    def _combine(self, node: fx.Node, inputs: tuple[fx.Node, ...]) -> None:
        one, two = (self.graph.layouts.get(n) for n in inputs)
        if not (one and two and _aligned(one, two)):
            self._other(node, "it is combined with a value whose channels are not followed")
            return
        for left, right in zip(one.spans, two.spans, strict=True):
            self._unite(left.key, right.key)
        self._record(
            node, "combine", inputs, one if one.rank == two.rank else dataclasses.replace(one, last=True, rank=None)
        )

    # Sets.

    def _record(
        self, node: fx.Node, kind: str, sources: tuple[fx.Node, ...], layout: Layout | None, module: str = ""
    ) -> None:
        self.graph.steps.append(Step(node, kind, sources, module))
        if layout is not None:
            self.graph.layouts[node] = layout

    def _other(self, node: fx.Node, reason: str) -> None:
        self._block(node.all_input_nodes, reason)
        self._record(node, "other", tuple(node.all_input_nodes), None, str(node.target) * (node.op == "call_module"))

    def _block(self, nodes: Iterable[fx.Node], reason: str) -> None:
        for node in nodes:
            layout = self.graph.layouts.get(node)
            for span in layout.spans if layout else ():
                self.facts[span.key].reasons.append(reason)

    def _set(self, size: int) -> int:
        self.facts.append(_Facts(size))
        self.graph.parents.append(len(self.graph.parents))
        return len(self.facts) - 1

    def _unite(self, one: int, two: int) -> None:
        low, high = sorted((self.graph.find(one), self.graph.find(two)))
        self.graph.parents[high] = low

    def _touch(self, module: nn.Module, keys: Iterable[int]) -> None:
        for tensor in (*module.parameters(), *module.buffers()):
            self.touched.setdefault(id(tensor), set()).update(keys)


def _argument(node: fx.Node, name: str, default: object = None) -> object:
    """The argument after the tensor, given by place or by name."""
    return node.args[1] if len(node.args) > 1 else node.kwargs.get(name, default)


def _aligned(one: Layout, two: Layout) -> bool:
    """Whether two values that are combined element by element have channel beside channel."""
    if [s.size for s in one.spans] != [s.size for s in two.spans] or one.flat != two.flat:
        return False
    return (one.in_last and two.in_last) or (one.in_dim_1 and two.in_dim_1 and one.rank == two.rank)


def _is_flatten(node: fx.Node, name: str) -> bool:
    """Whether a flatten, view or reshape merges everything after the batch, and nothing else."""
    if name == "flatten":
        start, end = _argument(node, "start_dim", 0), node.kwargs.get("end_dim", -1)
        return (start, node.args[2] if len(node.args) > 2 else end) == (1, -1)
    shape: Any = node.args[1:]
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    return len(shape) == 2 and rules.is_size(shape[0]) and shape[1] == -1


def _merged(parts: list[_Facts]) -> ChannelGroup:
    producers = [producer for facts in parts for producer in facts.producers]
    norms = [norm for facts in parts for norm in facts.norms]
    reasons = [reason for facts in parts for reason in facts.reasons]
    return ChannelGroup(
        size=parts[0].size,
        producers=tuple(f"{name}.weight" for name, _ in producers),
        consumers=tuple(consumer for facts in parts for consumer in facts.consumers),
        norms=tuple(name for name, _ in norms),
        biases=tuple(f"{name}.bias" for name, has in producers if has),
        prunable=not reasons,
        reason=reasons[0] if reasons else "",
        norm_offsets=tuple(offset for _, offset in norms),
    )
