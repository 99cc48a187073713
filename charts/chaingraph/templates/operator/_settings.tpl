{{/* The operator's environment variables by name. */}}
{{- define "chaingraph.operator.settings" -}}
{{- $versions := list -}}
{{- range $pool, $_ := include "chaingraph.pools" . | fromYaml -}}
{{- $versions = append $versions (printf "%s=%s" $pool .version) -}}
{{- end -}}
CHAINGRAPH_NAMESPACES: {{ join "," .Values.namespaces | quote }}
CHAINGRAPH_LEADER_ELECTION: {{ .Values.operator.leaderElection.enabled | quote }}
CHAINGRAPH_LEASE_NAMESPACE: {{ .Release.Namespace }}
CHAINGRAPH_LEASE_NAME: {{ include "chaingraph.operator.lease" . }}
CHAINGRAPH_WORKER_NAMESPACE: {{ .Release.Namespace }}
CHAINGRAPH_RELEASE: {{ .Release.Name }}
CHAINGRAPH_WORKER_VERSIONS: {{ join "," $versions | quote }}
DBOS_APPLICATION_NAME: {{ .Values.applicationName }}
{{- end -}}

{{- define "chaingraph.operator.lease" -}}
{{ .Values.operator.leaderElection.leaseName | default (printf "%s-operator" (include "chaingraph.fullname" .)) }}
{{- end -}}
