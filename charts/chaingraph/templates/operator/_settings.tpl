{{/* The operator's environment variables by name. */}}
{{- define "chaingraph.operator.settings" -}}
{{- with .Values.operator -}}
CHAINGRAPH_NAMESPACES: {{ join "," $.Values.namespaces | quote }}
CHAINGRAPH_HEALTH_PORT: {{ include "chaingraph.scalar" .healthPort | quote }}
CHAINGRAPH_HEALTH_HOST: {{ .healthHost | quote }}
LOG_LEVEL: {{ .logLevel | default $.Values.logLevel | quote }}
DBOS_APPLICATION_NAME: {{ $.Values.applicationName | quote }}
CHAINGRAPH_LEADER_ELECTION: {{ .leaderElection.enabled | quote }}
CHAINGRAPH_LEASE_NAMESPACE: {{ $.Release.Namespace | quote }}
CHAINGRAPH_LEASE_NAME: {{ include "chaingraph.operator.lease" $ | quote }}
CHAINGRAPH_LEASE_DURATION_SECONDS: {{ include "chaingraph.scalar" .leaderElection.durationSeconds | quote }}
CHAINGRAPH_LEASE_RENEW_SECONDS: {{ include "chaingraph.scalar" .leaderElection.renewSeconds | quote }}
CHAINGRAPH_LEASE_RETRY_SECONDS: {{ include "chaingraph.scalar" .leaderElection.retrySeconds | quote }}
CHAINGRAPH_WORKER_NAMESPACE: {{ $.Release.Namespace | quote }}
CHAINGRAPH_METRIC_QUEUES: {{ include "chaingraph.operator.queues" $ | quote }}
CHAINGRAPH_FLOW_CHECK_CPU_SECONDS: {{ include "chaingraph.scalar" .flowCheckCpuSeconds | quote }}
CHAINGRAPH_FLOW_CHECK_MEMORY_MB: {{ include "chaingraph.scalar" .flowCheckMemoryMb | quote }}
CHAINGRAPH_LOOP_DEADLINE_SECONDS: {{ include "chaingraph.scalar" .loopDeadlineSeconds | quote }}
CHAINGRAPH_WORKER_POOLS: {{ include "chaingraph.workers.pools" $ | quote }}
CHAINGRAPH_RELEASE: {{ include "chaingraph.instance" $ | quote }}
CHAINGRAPH_RECONCILE_WORKERS: {{ include "chaingraph.scalar" .reconcileWorkers | quote }}
CHAINGRAPH_STATUS_WRITERS: {{ include "chaingraph.scalar" .statusWriters | quote }}
CHAINGRAPH_CHILD_RESOURCES_PER_SECOND: {{ include "chaingraph.scalar" .childResourcesPerSecond | quote }}
CHAINGRAPH_RESYNC_SECONDS: {{ include "chaingraph.scalar" .resyncSeconds | quote }}
CHAINGRAPH_SWEEP_SECONDS: {{ include "chaingraph.scalar" .sweepSeconds | quote }}
CHAINGRAPH_LEDGER_RETENTION_DAYS: {{ include "chaingraph.scalar" .ledgerRetentionDays | quote }}
CHAINGRAPH_NAMESPACE_QUEUES: {{ join "," .namespaceQueues | quote }}
CHAINGRAPH_NAMESPACE_MAX_RUNNING: {{ include "chaingraph.scalar" .namespaceMaxRunning | quote }}
CHAINGRAPH_NAMESPACE_MAX_WAITING: {{ include "chaingraph.scalar" .namespaceMaxWaiting | quote }}
CHAINGRAPH_NAMESPACE_MAX_PRIORITY: {{ include "chaingraph.scalar" .namespaceMaxPriority | quote }}
CHAINGRAPH_NAMESPACE_MAX_LEDGER_BYTES: {{ include "chaingraph.scalar" .namespaceMaxLedgerBytes | quote }}
CHAINGRAPH_NAMESPACE_SECONDS: {{ include "chaingraph.scalar" .namespaceSeconds | quote }}
CHAINGRAPH_ACCOUNTING_SECONDS: {{ include "chaingraph.scalar" .accountingSeconds | quote }}
CHAINGRAPH_ADOPT_CLUSTER: {{ .adoptCluster | quote }}
{{- end -}}
{{- end -}}

{{/* The queues of all pools, also of those that are scaled to none. */}}
{{- define "chaingraph.operator.queues" -}}
{{- $queues := list -}}
{{- range $name, $pool := include "chaingraph.pools" . | fromYaml -}}
{{- $queues = concat $queues $pool.queues -}}
{{- end -}}
{{- join "," (uniq $queues | sortAlpha) -}}
{{- end -}}

{{- define "chaingraph.operator.lease" -}}
{{ .Values.operator.leaderElection.leaseName | default (printf "%s-operator" (include "chaingraph.fullname" .)) }}
{{- end -}}

{{- define "chaingraph.operator.account" -}}
{{ include "chaingraph.serviceAccountName" (dict "root" . "component" "operator" "account" .Values.operator.serviceAccount) }}
{{- end -}}
