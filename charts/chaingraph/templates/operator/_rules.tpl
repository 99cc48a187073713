{{/* What the operator may do where it serves. */}}
{{- define "chaingraph.operator.rules" -}}
- apiGroups: [chaingraph.dev]
  resources: [flows, executions]
  verbs: [get, list, watch]
- apiGroups: [chaingraph.dev]
  resources: [flows/status, executions/status]
  verbs: [patch]
- apiGroups: [chaingraph.dev]
  resources: [executions]
  verbs: [create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
