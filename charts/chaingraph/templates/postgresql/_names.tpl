{{- define "chaingraph.postgresql.name" -}}
{{ include "chaingraph.fullname" . }}-postgresql
{{- end -}}

{{/* Secret with the keys `password` and `url`. */}}
{{- define "chaingraph.postgresql.secret" -}}
{{ .Values.postgresql.auth.existingSecret | default (include "chaingraph.postgresql.name" .) }}
{{- end -}}

{{- define "chaingraph.postgresql.host" -}}
{{ include "chaingraph.postgresql.name" . }}.{{ .Release.Namespace }}.svc
{{- end -}}
