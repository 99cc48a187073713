{{/* Where `helm test` runs its flow: a namespace that is served. */}}
{{- define "chaingraph.test.namespace" -}}
{{- if .Values.test.namespace -}}
{{ .Values.test.namespace }}
{{- else if or (empty .Values.namespaces) (has .Release.Namespace .Values.namespaces) -}}
{{ .Release.Namespace }}
{{- else -}}
{{ first .Values.namespaces }}
{{- end -}}
{{- end -}}
