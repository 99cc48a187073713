{{/*
The pools that are enabled, by name, each complete with its defaults and its version, as YAML. The version is that of the
image: what makes the code another one makes the version another one.
*/}}
{{- define "chaingraph.pools" -}}
{{- $pools := dict -}}
{{- range $name, $given := .Values.workers -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy ($given | default dict)) -}}
{{- if $pool.enabled -}}
{{- $image := include "chaingraph.image" (dict "root" $ "image" $pool.image) -}}
{{- $ofImage := contains "@" $image | ternary (regexFind "[^:]+$" $image | trunc 12) (regexFind "[^:]+$" $image) -}}
{{- $_ := set $pool "version" ($pool.version | default $ofImage | trunc 63 | trimSuffix "." | trimSuffix "-" | trimSuffix "_") -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{/* Name of the ConfigMap that says which version of each pool is the current one. */}}
{{- define "chaingraph.workers.pools" -}}
{{ include "chaingraph.fullname" . }}-worker-pools
{{- end -}}

{{- define "chaingraph.workers.account" -}}
{{ include "chaingraph.serviceAccountName" (dict "root" . "component" "worker" "account" .Values.workerServiceAccount) }}
{{- end -}}

{{/* A version that would not be told from another one in a name, such as 1_0 from 1.0, goes with a part of its hash. */}}
{{- define "chaingraph.pool.deployment" -}}
{{- $version := regexMatch "^[a-z0-9.]+$" .version | ternary .version (printf "%s-%s" (lower .version) (sha256sum .version | trunc 5)) -}}
{{- include "chaingraph.shortened" (dict "text" (printf "%s-worker-%s-%s" (include "chaingraph.fullname" .root) .pool $version) "max" 52) -}}
{{- end -}}

{{/* The labels that select the Pods of a pool in a version: (dict "root" $ "pool" ... "version" ...). */}}
{{- define "chaingraph.pool.selector" -}}
{{ include "chaingraph.selector" (dict "root" .root "component" "worker") }}
chaingraph.dev/pool: {{ .pool | quote }}
chaingraph.dev/worker-version: {{ .version | quote }}
{{- end -}}

{{/* A worker's environment variables by name: (dict "root" $ "pool" its name "version" ... "of" its values). */}}
{{- define "chaingraph.pool.settings" -}}
{{- with .of -}}
CHAINGRAPH_POOL: {{ $.pool | quote }}
CHAINGRAPH_WORKER_VERSION: {{ $.version | quote }}
CHAINGRAPH_QUEUES: {{ join "," .queues | quote }}
DBOS_APPLICATION_NAME: {{ $.root.Values.applicationName | quote }}
DBOS_QUEUE_CONCURRENCY: {{ include "chaingraph.scalar" .queueConcurrency | quote }}
DBOS_WORKER_CONCURRENCY: {{ include "chaingraph.scalar" .concurrency | quote }}
CHAINGRAPH_QUEUE_POLL_SECONDS: {{ include "chaingraph.scalar" .queuePollSeconds | quote }}
CHAINGRAPH_PIN_QUEUE_POLL_SECONDS: {{ include "chaingraph.scalar" .pinQueuePollSeconds | quote }}
CHAINGRAPH_LEASE_SECONDS: {{ include "chaingraph.scalar" .leaseSeconds | quote }}
CHAINGRAPH_RECOVERY_SECONDS: {{ include "chaingraph.scalar" .recoverySeconds | quote }}
CHAINGRAPH_STALL_SECONDS: {{ include "chaingraph.scalar" .stallSeconds | quote }}
CHAINGRAPH_FLUSH_SECONDS: {{ include "chaingraph.scalar" .flushSeconds | quote }}
CHAINGRAPH_PARK_SECONDS: {{ include "chaingraph.scalar" .parkSeconds | quote }}
CHAINGRAPH_MAX_DEPTH: {{ include "chaingraph.scalar" .maxDepth | quote }}
CHAINGRAPH_MAX_CHILDREN: {{ include "chaingraph.scalar" .maxChildren | quote }}
CHAINGRAPH_MAX_TREE: {{ include "chaingraph.scalar" .maxTree | quote }}
CHAINGRAPH_CHILD_SPACING_MS: {{ include "chaingraph.scalar" .childSpacingMs | quote }}
CHAINGRAPH_DRAIN_SECONDS: {{ include "chaingraph.scalar" .drainSeconds | quote }}
CHAINGRAPH_THREADS: {{ include "chaingraph.scalar" .threads | quote }}
CHAINGRAPH_HEALTH_PORT: {{ include "chaingraph.scalar" .healthPort | quote }}
CHAINGRAPH_HEALTH_HOST: {{ .healthHost | quote }}
LOG_LEVEL: {{ .logLevel | default $.root.Values.logLevel | quote }}
{{- end -}}
{{- end -}}

{{/*
Seconds from SIGTERM to SIGKILL: what the drain may take, then to hand back, to interrupt nodes and to end, which the
worker bounds at 5, 6 and 5 seconds, and PostgreSQL may be slow.
*/}}
{{- define "chaingraph.pool.grace" -}}
{{- $grace := .terminationGracePeriodSeconds -}}
{{- kindIs "invalid" $grace | ternary (add (ceil .drainSeconds) 30) (int64 (default 0 $grace)) -}}
{{- end -}}
