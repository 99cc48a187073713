{{/*
What a schema cannot say: values that do not fit together. Each message names the value, what it is, and what would be
right; all are told at once. Included by `checks.yaml`.
*/}}
{{- define "chaingraph.checks" -}}
{{- $errors := list -}}
{{- $values := .Values -}}
{{- /* The database. */ -}}
{{- if and (not $values.postgresql.enabled) (not $values.database.existingSecret.name) -}}
{{- $errors = append $errors "database.existingSecret.name is empty and postgresql.enabled is false, so there is no database: name a Secret of the release's namespace whose key `url` holds postgresql://user:password@host:5432/database, or set postgresql.enabled=true for a trial" -}}
{{- end -}}
{{- if and $values.postgresql.enabled $values.database.existingSecret.name -}}
{{- $errors = append $errors (printf "database.existingSecret.name is %q and postgresql.enabled is true: choose one of the two" $values.database.existingSecret.name) -}}
{{- end -}}
{{- /* Service accounts. */ -}}
{{- $accounts := dict "operator.serviceAccount" $values.operator.serviceAccount "gateway.serviceAccount" $values.gateway.serviceAccount "migration.serviceAccount" $values.migration.serviceAccount "workerServiceAccount" $values.workerServiceAccount -}}
{{- range $name, $account := $accounts -}}
{{- if and (not $account.create) (not $account.name) -}}
{{- $errors = append $errors (printf "%s.create is false and %s.name is empty: name the service account that is there, so that its rights do not go to everybody's `default`" $name $name) -}}
{{- end -}}
{{- end -}}
{{- /* The operator. */ -}}
{{- with $values.operator -}}
{{- if and (gt (int .replicas) 1) (not .leaderElection.enabled) -}}
{{- $errors = append $errors (printf "operator.replicas is %d and operator.leaderElection.enabled is false: several operators have to elect one; set it to true, or replicas to 1" (int .replicas)) -}}
{{- end -}}
{{- if ge (float64 .leaderElection.renewSeconds) (float64 .leaderElection.durationSeconds) -}}
{{- $errors = append $errors (printf "operator.leaderElection.renewSeconds is %v and durationSeconds is %v: it has to be less, so that a leader ends before another one begins" .leaderElection.renewSeconds .leaderElection.durationSeconds) -}}
{{- end -}}
{{- if ge (mulf 2 .leaderElection.retrySeconds) (float64 .leaderElection.renewSeconds) -}}
{{- $errors = append $errors (printf "operator.leaderElection.retrySeconds is %v and renewSeconds is %v: it has to be less than half of that" .leaderElection.retrySeconds .leaderElection.renewSeconds) -}}
{{- end -}}
{{- if lt (int .terminationGracePeriodSeconds) 10 -}}
{{- $errors = append $errors (printf "operator.terminationGracePeriodSeconds is %d: give it 10 or more, it needs seven to write what is still to be shown" (int .terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- end -}}
{{- /* The gateway. */ -}}
{{- with $values.gateway -}}
{{- if .enabled -}}
{{- if eq (int .port) (int .healthPort) -}}
{{- $errors = append $errors (printf "gateway.port and gateway.healthPort are both %d: they have to differ" (int .port)) -}}
{{- end -}}
{{- if lt (int .terminationGracePeriodSeconds) (int (add .preStopSeconds 5)) -}}
{{- $errors = append $errors (printf "gateway.terminationGracePeriodSeconds is %d and preStopSeconds is %d, which counts in it: give it %d or more" (int .terminationGracePeriodSeconds) (int .preStopSeconds) (int (add .preStopSeconds 5))) -}}
{{- end -}}
{{- if and .tls.certManager.enabled (not .tls.existingSecret) (not .tls.certManager.issuerRef.name) -}}
{{- $errors = append $errors "gateway.tls.certManager.enabled is true and gateway.tls.certManager.issuerRef names no issuer: write {kind: ClusterIssuer, name: ...}" -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- $errors = append $errors "gateway.ingress.enabled is true and gateway.ingress.host is empty: name the host" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* The pools of workers. */ -}}
{{- $serving := dict -}}
{{- $deployments := dict -}}
{{- range $name, $pool := include "chaingraph.pools" . | fromYaml -}}
{{- $where := printf "workers.%s" $name -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- $errors = append $errors (printf "%s: the pool's name is %q; give it lower case letters, digits and '-', 40 at most" $where $name) -}}
{{- end -}}
{{- if and $pool.secretNamespaces $values.networkPolicy.enabled $values.networkPolicy.workerEgress.enabled (not $values.networkPolicy.egress.apiServer) -}}
{{- $errors = append $errors (printf "%s.secretNamespaces is set and networkPolicy.egress.apiServer is empty, so flows of the pool would reach every address at the ports of the API server: write its addresses, such as [{ipBlock: {cidr: 203.0.113.7/32}}], which `kubectl get endpointslices kubernetes` shows" $where) -}}
{{- end -}}
{{- if gt (int $pool.concurrency) (int $pool.queueConcurrency) -}}
{{- $errors = append $errors (printf "%s.concurrency is %d, above queueConcurrency %d: a worker cannot run more than all workers together" $where (int $pool.concurrency) (int $pool.queueConcurrency)) -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $pool.version) -}}
{{- $errors = append $errors (printf "%s.version, from the image's tag, is %q: it has to be fit for a label; set %s.version" $where $pool.version $where) -}}
{{- end -}}
{{- if and $pool.database.role (or $values.postgresql.enabled (not $pool.database.name)) -}}
{{- $errors = append $errors (printf "%s.database.role is %q and %s: set %s.database.name to a Secret whose connection string logs in as that role, in a database of your own" $where $pool.database.role ($values.postgresql.enabled | ternary "postgresql.enabled is true" (printf "%s.database.name is empty" $where)) $where) -}}
{{- end -}}
{{- if and $pool.database.name (not $pool.database.role) -}}
{{- $errors = append $errors (printf "%s.database.name is %q and %s.database.role is empty: name the role that this connection string logs in as, so that the migration keeps it to the queues of the pool; for one connection string of all workers set database.worker.name" $where $pool.database.name $where) -}}
{{- end -}}
{{- $deployment := include "chaingraph.pool.deployment" (dict "root" $ "pool" $name "version" $pool.version) -}}
{{- with get $deployments $deployment -}}
{{- $errors = append $errors (printf "%s in version %q and workers.%s would both be the Deployment %s: give one of them another name or version" $where $pool.version . $deployment) -}}
{{- end -}}
{{- $_ := set $deployments $deployment $name -}}
{{- $least := int (add (ceil $pool.drainSeconds) 25) -}}
{{- if lt (include "chaingraph.pool.grace" $pool | int) $least -}}
{{- $errors = append $errors (printf "%s.terminationGracePeriodSeconds is %d and drainSeconds is %v: give it %d or more, so that a worker can hand back what it has not ended; or leave it out" $where (int $pool.terminationGracePeriodSeconds) $pool.drainSeconds $least) -}}
{{- end -}}
{{- range $queue := $pool.queues -}}
{{- if hasKey $serving $queue -}}
{{- $other := get $serving $queue -}}
{{- range $key := list "concurrency" "queueConcurrency" -}}
{{- if ne (int (get $pool $key)) (int (get $other.pool $key)) -}}
{{- $errors = append $errors (printf "%s.%s is %d and workers.%s.%s is %d, and both serve the queue %q: DBOS keeps it with the queue, so they have to be the same; or give one of them a queue of its own" $where $key (int (get $pool $key)) $other.name $key (int (get $other.pool $key)) $queue) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $_ := set $serving $queue (dict "name" $name "pool" $pool) -}}
{{- end -}}
{{- end -}}
{{- with $pool.autoscaling -}}
{{- if .kind -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- $errors = append $errors (printf "%s.autoscaling.minReplicas is %d, above maxReplicas %d" $where (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and (eq .kind "HPA") (lt (int .minReplicas) 1) -}}
{{- $errors = append $errors (printf "%s.autoscaling.minReplicas is 0: only KEDA scales to none; give it 1 or more" $where) -}}
{{- end -}}
{{- if and (eq .kind "HPA") (not .queueDepth) (kindIs "invalid" .targetCpu) -}}
{{- $errors = append $errors (printf "%s.autoscaling has neither queueDepth nor targetCpu: an HPA needs something to go by" $where) -}}
{{- end -}}
{{- if and (eq .kind "KEDA") (not .prometheusAddress) -}}
{{- $errors = append $errors (printf "%s.autoscaling.prometheusAddress is empty: KEDA asks Prometheus how much waits; write http://prometheus.monitoring.svc:9090" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.test.enabled $values.test.namespace $values.namespaces (not (has $values.test.namespace $values.namespaces)) -}}
{{- $errors = append $errors (printf "test.namespace is %q, which is not among namespaces: nobody would run what is made there" $values.test.namespace) -}}
{{- end -}}
{{- with $errors -}}
{{- fail (printf "\n\nThe values do not fit together:\n- %s\n" (join "\n- " .)) -}}
{{- end -}}
{{- end -}}
