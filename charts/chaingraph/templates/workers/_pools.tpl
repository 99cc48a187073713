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

{{/*
`CHAINGRAPH_POOL_ROLES`: the database role and the queues of each pool that has a role of its own. Also of a pool that is
not enabled: its workers may still have something to end.
*/}}
{{- define "chaingraph.poolRoles" -}}
{{- $roles := dict -}}
{{- range $name, $given := .Values.workers -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy ($given | default dict)) -}}
{{- with $pool.database.role }}{{ $_ := set $roles $name (dict "role" . "queues" $pool.queues) }}{{ end -}}
{{- end -}}
{{- toJson $roles -}}
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
CHAINGRAPH_SECRET_NAMESPACES: {{ join "," .secretNamespaces | quote }}
CHAINGRAPH_SECRETS_FOLDER: {{ .secretsFolder | quote }}
DBOS_APPLICATION_NAME: {{ $.root.Values.applicationName | quote }}
DBOS_QUEUE_CONCURRENCY: {{ include "chaingraph.scalar" .queueConcurrency | quote }}
DBOS_WORKER_CONCURRENCY: {{ include "chaingraph.scalar" .concurrency | quote }}
CHAINGRAPH_GUEST_SLOTS: {{ include "chaingraph.scalar" .guestSlots | quote }}
CHAINGRAPH_QUEUE_POLL_SECONDS: {{ include "chaingraph.scalar" .queuePollSeconds | quote }}
CHAINGRAPH_PIN_QUEUE_POLL_SECONDS: {{ include "chaingraph.scalar" .pinQueuePollSeconds | quote }}
CHAINGRAPH_LEASE_SECONDS: {{ include "chaingraph.scalar" .leaseSeconds | quote }}
CHAINGRAPH_RECOVERY_SECONDS: {{ include "chaingraph.scalar" .recoverySeconds | quote }}
CHAINGRAPH_STALL_SECONDS: {{ include "chaingraph.scalar" .stallSeconds | quote }}
CHAINGRAPH_SERVE_WITHOUT_BROKEN_NODES: {{ .serveWithoutBrokenNodes | quote }}
CHAINGRAPH_FLUSH_SECONDS: {{ include "chaingraph.scalar" .flushSeconds | quote }}
CHAINGRAPH_PARK_SECONDS: {{ include "chaingraph.scalar" .parkSeconds | quote }}
CHAINGRAPH_RUNNER_MEMORY_MB: {{ include "chaingraph.scalar" .runnerMemoryMb | quote }}
CHAINGRAPH_RUNNER_CPU_SECONDS: {{ include "chaingraph.scalar" .runnerCpuSeconds | quote }}
CHAINGRAPH_RUNNER_SILENCE_SECONDS: {{ include "chaingraph.scalar" .runnerSilenceSeconds | quote }}
CHAINGRAPH_RUNNERS_IDLE: {{ include "chaingraph.scalar" .runnersIdle | quote }}
CHAINGRAPH_MAX_DEPTH: {{ include "chaingraph.scalar" .maxDepth | quote }}
CHAINGRAPH_MAX_CHILDREN: {{ include "chaingraph.scalar" .maxChildren | quote }}
CHAINGRAPH_MAX_TREE: {{ include "chaingraph.scalar" .maxTree | quote }}
CHAINGRAPH_CHILD_SPACING_MS: {{ include "chaingraph.scalar" .childSpacingMs | quote }}
CHAINGRAPH_MAX_VALUE_BYTES: {{ include "chaingraph.scalar" .maxValueBytes | quote }}
CHAINGRAPH_MAX_NODE_BYTES: {{ include "chaingraph.scalar" .maxNodeBytes | quote }}
CHAINGRAPH_MAX_JOURNAL_BYTES: {{ include "chaingraph.scalar" .maxJournalBytes | quote }}
CHAINGRAPH_MAX_LOG_BYTES: {{ include "chaingraph.scalar" .maxLogBytes | quote }}
CHAINGRAPH_MAX_READ_BYTES: {{ include "chaingraph.scalar" .maxReadBytes | quote }}
CHAINGRAPH_MAX_TEMPLATE_TEXT_BYTES: {{ include "chaingraph.scalar" .maxTemplateTextBytes | quote }}
CHAINGRAPH_MAX_TEMPLATE_STEPS: {{ include "chaingraph.scalar" .maxTemplateSteps | quote }}
CHAINGRAPH_MAX_TEMPLATE_BYTES: {{ include "chaingraph.scalar" .maxTemplateBytes | quote }}
CHAINGRAPH_MAX_TEMPLATE_OUTPUT_BYTES: {{ include "chaingraph.scalar" .maxTemplateOutputBytes | quote }}
CHAINGRAPH_MAX_HTTP_CONNECTIONS: {{ include "chaingraph.scalar" .maxHttpConnections | quote }}
CHAINGRAPH_NAMESPACE_HTTP_CONNECTIONS: {{ include "chaingraph.scalar" .namespaceHttpConnections | quote }}
CHAINGRAPH_MAX_HTTP_REDIRECTS: {{ include "chaingraph.scalar" .maxHttpRedirects | quote }}
CHAINGRAPH_EGRESS_ALLOW: {{ join "," .egressAllow | quote }}
CHAINGRAPH_EGRESS_DENY: {{ join "," .egressDeny | quote }}
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

{{/*
What flows may reach beside DNS and PostgreSQL, as rules of a NetworkPolicy: the public internet, the collector of traces at its
port, and what people add.
*/}}
{{- define "chaingraph.workers.egress" -}}
{{- $egress := .Values.networkPolicy.workerEgress -}}
{{- $rules := list -}}
{{- if $egress.internet -}}
{{- $ports := list -}}
{{- range $egress.internetPorts }}{{ $ports = append $ports (dict "port" (int .) "protocol" "TCP") }}{{ end -}}
{{- $four := list -}}
{{- $six := list -}}
{{- range concat $egress.notPublic $egress.blocked -}}
{{- if contains ":" . }}{{ $six = append $six . }}{{ else }}{{ $four = append $four . }}{{ end -}}
{{- end -}}
{{- $to := list (dict "ipBlock" (dict "cidr" "0.0.0.0/0" "except" (uniq $four))) (dict "ipBlock" (dict "cidr" "::/0" "except" (uniq $six))) -}}
{{- $rules = append $rules (dict "ports" ($ports | default (list (dict "protocol" "TCP"))) "to" $to) -}}
{{- end -}}
{{- with .Values.telemetry.otlp.endpoint -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- $rules = append $rules (dict "ports" (list (dict "port" (int $port) "protocol" "TCP"))) -}}
{{- end -}}
{{- toYaml (concat $rules $egress.extra) -}}
{{- end -}}
