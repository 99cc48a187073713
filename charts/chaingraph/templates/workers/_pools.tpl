{{/* The pools that are enabled, by name, each complete with its defaults and its version, as YAML. */}}
{{- define "chaingraph.pools" -}}
{{- $pools := dict -}}
{{- range $name, $given := .Values.workers -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy ($given | default dict)) -}}
{{- if $pool.enabled -}}
{{- $_ := set $pool "version" ($pool.version | default $pool.image.tag | default $.Values.image.tag | default $.Chart.AppVersion) -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{- define "chaingraph.pool.deployment" -}}
{{- include "chaingraph.shortened" (dict "text" (printf "%s-worker-%s-%s" (include "chaingraph.fullname" .root) .pool .version) "max" 52) -}}
{{- end -}}

{{/* The labels that select the Pods of a pool in a version: (dict "root" $ "pool" ... "version" ...). */}}
{{- define "chaingraph.pool.selector" -}}
{{ include "chaingraph.selector" (dict "root" .root "component" "worker") }}
chaingraph.dev/pool: {{ .pool }}
chaingraph.dev/worker-version: {{ .version | quote }}
{{- end -}}

{{/* A worker's environment variables by name. */}}
{{- define "chaingraph.pool.settings" -}}
CHAINGRAPH_POOL: {{ .pool }}
CHAINGRAPH_WORKER_VERSION: {{ .version | quote }}
CHAINGRAPH_QUEUES: {{ join "," .of.queues | quote }}
DBOS_APPLICATION_NAME: {{ .root.Values.applicationName }}
DBOS_QUEUE_CONCURRENCY: {{ .of.queueConcurrency }}
DBOS_WORKER_CONCURRENCY: {{ .of.concurrency }}
CHAINGRAPH_DRAIN_SECONDS: {{ .of.drainSeconds }}
{{- end -}}
