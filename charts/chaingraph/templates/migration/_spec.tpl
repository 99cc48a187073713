{{/*
Whether the migration is a hook, which ends before anything of the release changes. Not where the database is one of the
objects of the same release that are still to be made: there it is an ordinary Job, which waits for PostgreSQL as
operator and workers wait for it.
*/}}
{{- define "chaingraph.migration.isHook" -}}
{{- if not .Values.postgresql.enabled -}}
true
{{- else if lookup "apps/v1" "StatefulSet" .Release.Namespace (include "chaingraph.postgresql.name" .) -}}
true
{{- end -}}
{{- end -}}

{{- define "chaingraph.migration.account" -}}
{{ include "chaingraph.serviceAccountName" (dict "root" . "component" "migration" "account" .Values.migration.serviceAccount) }}
{{- end -}}

{{- define "chaingraph.migration.spec" -}}
backoffLimit: {{ int .Values.migration.backoffLimit }}
activeDeadlineSeconds: {{ int .Values.migration.activeDeadlineSeconds }}
template:
  {{- include "chaingraph.podTemplate" (dict
    "root" . "component" "migration" "of" .Values.migration
    "selector" (include "chaingraph.selector" (dict "root" . "component" "migration"))
    "command" (list "chaingraph-worker" "migrate")
    "settings" (dict
      "CHAINGRAPH_MIGRATE_WAIT_SECONDS" .Values.migration.waitSeconds
      "CHAINGRAPH_POOL_ROLES" (include "chaingraph.poolRoles" .)
      "DBOS_APPLICATION_NAME" .Values.applicationName
    )
    "database" .Values.database.migration
    "account" (include "chaingraph.migration.account" .) "token" false
    "restartPolicy" "Never"
  ) | nindent 2 }}
{{- end -}}
