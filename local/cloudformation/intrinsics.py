"""Work out the values of a template's functions: Ref, GetAtt, Sub, If and their kin."""

from __future__ import annotations

import base64
import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloudformation.template import TemplateError

NO_VALUE = object()  # what AWS::NoValue stands for: the property is left out

_SUBSTITUTION = re.compile(r"\$\{(!?)([^${}]+)\}")
_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]+)\}\}")


@dataclass(slots=True)
class Scope:
    """What names mean in one stack: parameters and pseudo parameters, made resources, other stacks' exports."""

    names: dict[str, Any]
    attribute: Callable[[str, str], Any]
    imported: Callable[[str], str]
    output_of: Callable[[str, str], str]
    dynamic: Callable[[str, str], str]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """Return `value` with every function worked out. Raises `TemplateError` for an unknown name or function."""
        if isinstance(value, dict):
            return self._resolve_object(value)
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        if isinstance(value, str) and "{{resolve:" in value:
            return _DYNAMIC.sub(lambda found: self.dynamic(found[1], found[2]), value)
        return value

    def holds(self, condition: str) -> bool:
        """Say whether a condition of the template holds."""
        if condition not in self.conditions:
            raise TemplateError(f"Unresolved condition [{condition}]: declare it under Conditions")
        return bool(self.resolve(self.conditions[condition]))

    def _resolve_object(self, value: dict[str, Any]) -> Any:
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"the laptop cloud does not work out {name}")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name not in self.names:
            raise TemplateError(f"Unresolved resource dependencies [{name}]: no parameter or resource has this name")
        return self.names[name]

    def _get_att(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        return self.attribute(logical_id, self.resolve(attribute))

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self.resolve(value) for name, value in values.items()}

        def substitute(found: re.Match[str]) -> str:
            literal, name = found[1], found[2].strip()
            if literal:
                return "${" + name + "}"
            if name in values:
                return str(values[name])
            return str(self._get_att(name) if "." in name else self._ref(name))

        return str(self.resolve(_SUBSTITUTION.sub(substitute, text)))

    def _join(self, argument: Any) -> Any:
        separator, items = argument
        # resolved once more, since CDK joins dynamic references from parts
        return self.resolve(separator.join(str(item) for item in self.resolve(items)))

    def _select(self, argument: Any) -> Any:
        index, items = int(self.resolve(argument[0])), self.resolve(argument[1])
        if not 0 <= index < len(items):
            raise TemplateError(f"Fn::Select cannot select index {index} of {len(items)} items")
        return items[index]

    def _split(self, argument: Any) -> list[str]:
        return str(self.resolve(argument[1])).split(argument[0])

    def _if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self.resolve(yes if self.holds(condition) else no)

    def _find_in_map(self, argument: Any) -> Any:
        first, second, third = (self.resolve(part) for part in argument[:3])
        try:
            return self.mappings[first][second][third]
        except KeyError as missing:
            raise TemplateError(f"Fn::FindInMap finds no {missing} in {first}/{second}/{third}") from missing

    def _get_azs(self, argument: Any) -> list[str]:
        region = self.resolve(argument) or self.names["AWS::Region"]
        return [f"{region}{zone}" for zone in "abc"]

    def _cidr(self, argument: Any) -> list[str]:
        block, count, bits = (self.resolve(part) for part in argument)
        network = ipaddress.ip_network(block)
        found = network.subnets(new_prefix=network.max_prefixlen - int(bits))
        return [str(subnet) for subnet in itertools.islice(found, int(count))]

    def _same(self, argument: Any) -> bool:
        first, second = self.resolve(argument)
        return str(first) == str(second)

    def _output_of(self, argument: Any) -> str:
        resolved = self.resolve(argument)
        return self.output_of(resolved["StackName"], resolved["OutputName"])


_FUNCTIONS: dict[str, Callable[[Scope, Any], Any]] = {
    "Ref": Scope._ref,
    "Condition": Scope.holds,
    "Fn::GetAtt": Scope._get_att,
    "Fn::Sub": Scope._sub,
    "Fn::Join": Scope._join,
    "Fn::Select": Scope._select,
    "Fn::Split": Scope._split,
    "Fn::If": Scope._if,
    "Fn::Equals": Scope._same,
    "Fn::And": lambda scope, argument: all(map(scope.resolve, argument)),
    "Fn::Or": lambda scope, argument: any(map(scope.resolve, argument)),
    "Fn::Not": lambda scope, argument: not scope.resolve(argument[0]),
    "Fn::FindInMap": Scope._find_in_map,
    "Fn::GetAZs": Scope._get_azs,
    "Fn::Cidr": Scope._cidr,
    "Fn::Base64": lambda scope, argument: base64.b64encode(str(scope.resolve(argument)).encode()).decode(),
    "Fn::ImportValue": lambda scope, argument: scope.imported(scope.resolve(argument)),
    "Fn::GetStackOutput": Scope._output_of,
}
