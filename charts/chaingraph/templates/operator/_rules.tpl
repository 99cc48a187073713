{{/* What the operator may do where it serves: what chaingraph_operator.main lists. */}}
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
{{- /* What a namespace may use, and whose executions are whose. In a Role, that is the Role's own namespace alone. */}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}

{{/* In the release's own namespace: election, and the versions of workers. */}}
{{- define "chaingraph.operator.ownRules" -}}
{{- if .Values.operator.leaderElection.enabled }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "chaingraph.operator.lease" . | quote }}]
  verbs: [get, update]
{{- end }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, delete]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "chaingraph.workers.pools" . | quote }}]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
