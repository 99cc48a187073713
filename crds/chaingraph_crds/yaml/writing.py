"""Write YAML that kubectl, and every other reader of YAML 1.1 or 1.2, reads as intended."""

from __future__ import annotations

from typing import Any

import yaml

from chaingraph_crds.yaml import scalars


def written(value: Any, **options: Any) -> str:
    """Format the value as one YAML document, the keys in their order. Options as in `yaml.dump`."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, **options))


class _Dumper(yaml.SafeDumper):
    """Quotes strings that kubectl would not read as text, and writes repeated values in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "'" if not isinstance(scalars.plain(value), str) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
