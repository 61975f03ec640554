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


def read_yaml(text: str, what: str) -> Any:
    """The values of a YAML text.

    Args:
        text: the text.
        what: what messages call it, e.g. ``recipe mine.yaml``.

    Raises:
        InputError: it is not YAML; names the line.
    """
    try:
        return yaml.load(text, StrictLoader)  # noqa: S506 (a SafeLoader, made stricter)
    except (ValueError, RecursionError) as error:  # dates that do not exist, brackets without end
        raise InputError(f"{what} is not readable as YAML ({error}).", "correct the YAML.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{what}{line}: {getattr(error, 'problem', error)}.", "correct the YAML.") from None
