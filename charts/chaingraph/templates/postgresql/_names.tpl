{{- define "chaingraph.postgresql.name" -}}
{{ include "chaingraph.fullname" . }}-postgresql
{{- end -}}

{{/* Secret with the keys `password` and `url`. */}}
{{- define "chaingraph.postgresql.secret" -}}
{{ include "chaingraph.postgresql.name" . }}
{{- end -}}
