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

{{- define "chaingraph.migration.spec" -}}
{{- $selector := include "chaingraph.selector" (dict "root" . "component" "migration") -}}
backoffLimit: {{ int .Values.migration.backoffLimit }}
activeDeadlineSeconds: {{ int .Values.migration.activeDeadlineSeconds }}
template:
  metadata:
    labels:
      {{- $selector | nindent 6 }}
  spec:
    serviceAccountName: {{ include "chaingraph.fullname" . }}-migration
    automountServiceAccountToken: false
    enableServiceLinks: false
    restartPolicy: OnFailure
    securityContext:
      {{- include "chaingraph.podSecurityContext" . | nindent 6 }}
    containers:
      - name: migration
        image: {{ include "chaingraph.image" (dict "root" .) }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [chaingraph-worker, migrate]
        env:
          {{- include "chaingraph.databaseEnv" (dict "root" . "secret" .Values.database.migration) | nindent 10 }}
          {{- include "chaingraph.env" (dict "CHAINGRAPH_MIGRATE_WAIT_SECONDS" .Values.migration.waitSeconds) | nindent 10 }}
        resources:
          {{- toYaml .Values.migration.resources | nindent 10 }}
        securityContext:
          {{- include "chaingraph.containerSecurityContext" . | nindent 10 }}
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: tmp
        emptyDir: {}
    {{- include "chaingraph.placement" (dict "root" . "of" .Values.migration "selector" $selector) | nindent 4 }}
{{- end -}}
