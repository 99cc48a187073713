"""The chart's copies of the API: the CustomResourceDefinitions and the admission policy as Helm templates.

Used by `generated`. As templates, and not in Helm's folder `crds/`, they are upgraded with the release; the annotation
keeps them, and so all Flows and Executions, when it goes.
"""

from __future__ import annotations

from chaingraph_crds.definitions import manifests, policies

_KEEP = """\
metadata:
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
    argocd.argoproj.io/sync-options: Prune=false,Delete=false
  {{- end }}
"""


def crd_template(kind: str) -> str:
    """The CustomResourceDefinition of one kind.

    Raises:
        KeyError: there is no such kind.
    """
    text = _escaped(manifests.crd_yaml(kind))
    head, separator, rest = text.partition("\nmetadata:\n")
    if not separator or "\nmetadata:\n" in rest:
        raise ValueError(f"the definition of {kind} has not one line `metadata:` at its margin; mend this template")
    return _if_enabled(f"{head}\n{_KEEP}{rest}")


def policy_template() -> str:
    """The admission policy and its binding. They go with the release: without it, the resources are only read."""
    return _if_enabled(_escaped(policies.policy_yaml()))


def _if_enabled(text: str) -> str:
    return "{{- if .Values.crds.enabled }}\n" + text + "{{- end }}\n"


def _escaped(text: str) -> str:
    """The text as a template that renders it: descriptions speak of templates of our own, in the same braces."""
    return text.replace("{{", '{{ "{{" }}')
