"""YAML as recipes and claims are written in: no surprises, and the line where something is wrong."""

from __future__ import annotations

import re
from typing import Any

import yaml

from regrow.errors import InputError


class StrictLoader(yaml.SafeLoader):
    """YAML without surprises: no duplicate keys, no aliases, no yes/no/on/off as booleans."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As in YAML, but for aliases."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As in YAML, but keys are texts and each is there once."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))


def _whole_number(loader: yaml.SafeLoader, node: Any) -> int:
    value: int = loader.construct_yaml_int(node)
    if not -(2**63) <= value < 2**63:
        raise yaml.constructor.ConstructorError(None, None, "the number has more than 64 bits", node.start_mark)
    return value


StrictLoader.add_constructor("tag:yaml.org,2002:int", _whole_number)

#: Longest text of a recipe or of claims.
MOST_CHARACTERS = 2**21
#: Values that a stored plan may have, those of aliases counted each time.
MOST_VALUES = 10**7
#: Levels of a stored plan.
MOST_LEVELS = 64
#: What the reader raises of values that cannot be: dates that do not exist, brackets without end, tags on other things.
_NOT_VALUES = (ValueError, RecursionError, LookupError, AttributeError, TypeError, ArithmeticError)
#: The one in C, ten times as fast, where PyYAML was built with it.
_StoredLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_stored_yaml(text: str) -> Any:
    """The values of a YAML text that regrow wrote, fast; its size in memory is bounded.

    Raises:
        ValueError: it is not YAML, is nested too deeply, or has aliases that stand for too many values.
    """
    try:
        _require_bounded(text)
        return yaml.load(text, _StoredLoader)  # noqa: S506 (both are safe ones)
    except (yaml.YAMLError, *_NOT_VALUES) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def _require_bounded(text: str) -> None:
    """Count values event by event, before any is made: the loader in C would go down any depth and follow any alias."""
    known: dict[str, int] = {}
    counts: list[tuple[str | None, int]] = [(None, 0)]  # of the values that are open: anchor, and values so far
    for event in yaml.parse(text, Loader=_StoredLoader):
        if len(counts) > MOST_LEVELS or counts[-1][1] > MOST_VALUES:
            raise ValueError("it is nested too deeply, or its aliases stand for too many values")
        if isinstance(event, yaml.events.CollectionStartEvent):
            counts.append((event.anchor, 1))
            continue
        if isinstance(event, yaml.events.CollectionEndEvent):
            anchor, count = counts.pop()
        elif isinstance(event, yaml.events.AliasEvent):
            anchor, count = None, known[str(event.anchor)]  # of one that stands for what it is in none is known
        elif isinstance(event, yaml.events.ScalarEvent):
            anchor, count = event.anchor, 1 + len(event.value) // 16
        else:
            continue
        if anchor is not None:
            known[anchor] = count
        counts[-1] = (counts[-1][0], counts[-1][1] + count)


def read_yaml(text: str, what: str) -> Any:
    """The values of a YAML text.

    Args:
        text: the text.
        what: what messages call it, e.g. ``recipe mine.yaml``.

    Raises:
        InputError: it is not YAML; names the line.
    """
    try:
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"{len(text)} characters are too many")
        return yaml.load(text, StrictLoader)  # noqa: S506 (a SafeLoader, made stricter)
    except _NOT_VALUES as error:
        raise InputError(f"{what} is not readable as YAML ({error}).", "correct the YAML.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{what}{line}: {getattr(error, 'problem', error)}.", "correct the YAML.") from None
