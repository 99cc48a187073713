{{/* What a schema cannot say. Included once, by the first template that is rendered. */}}
{{- define "chaingraph.checks" -}}
{{- if and (not .Values.postgresql.enabled) (not .Values.database.existingSecret.name) -}}
{{- fail "\n\ndatabase.existingSecret.name is empty and postgresql.enabled is false: there is no database. Name a Secret of the release's namespace whose key `url` is postgresql://user:password@host:5432/database, or set postgresql.enabled=true for a trial.\n" -}}
{{- end -}}
{{- end -}}
