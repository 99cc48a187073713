{{/* What the Pods of several components have in common. */}}

{{/*
An image's name: (dict "root" $ "image" a map that overrides parts of "base", by default .Values.image). A tag overrides a
digest.
*/}}
{{- define "chaingraph.image" -}}
{{- $given := include "chaingraph.given" (.image | default dict) | fromYaml -}}
{{- $image := mergeOverwrite (deepCopy (.base | default .root.Values.image)) $given -}}
{{- $repository := $image.repository -}}
{{- if $image.registry }}{{ $repository = printf "%s/%s" $image.registry $repository }}{{ end -}}
{{- if and $image.digest (or $given.digest (not $given.tag)) -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The entries of a map that say something, as YAML. */}}
{{- define "chaingraph.given" -}}
{{- $given := dict -}}
{{- range $key, $value := . -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value ""))) -}}
{{- $_ := set $given $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{/* A value as an environment variable has it: numbers without exponents, lists separated by commas. */}}
{{- define "chaingraph.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else if kindIs "slice" . -}}
{{ join "," . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/*
The environment of a container: (dict "root" $ "settings" texts by name "database" a Secret's {name, key} "extra" what
people add). What is empty is left out, so that the program's own default holds; what people add takes the place of ours.
*/}}
{{- define "chaingraph.env" -}}
{{- $extra := .extra | default dict -}}
{{- if not (hasKey $extra "CHAINGRAPH_POD_NAME") }}
- name: CHAINGRAPH_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if not (or .withoutDatabase (hasKey $extra "DATABASE_URL_EXECUTIONS")) }}
- name: DATABASE_URL_EXECUTIONS
  valueFrom:
    secretKeyRef:
      {{- include "chaingraph.databaseSecret" . | nindent 6 }}
{{- end }}
{{- range $name, $value := .settings }}
{{- $text := kindIs "invalid" $value | ternary "" (include "chaingraph.scalar" $value) }}
{{- if and (ne $text "") (not (hasKey $extra $name)) }}
- name: {{ $name | quote }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.telemetry.otlp.headersSecret }}
{{- if and .name $.root.Values.telemetry.otlp.endpoint (not (hasKey $extra "OTEL_EXPORTER_OTLP_HEADERS")) }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- include "chaingraph.extraEnv" $extra }}
{{- end -}}

{{/* Environment variables that people add: a map of texts, or of maps with `valueFrom`. */}}
{{- define "chaingraph.extraEnv" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ include "chaingraph.scalar" $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Name and key of the Secret with the connection string: (dict "root" $ "database" what a component has of its own). */}}
{{- define "chaingraph.databaseSecret" -}}
{{- $own := .database | default dict -}}
{{- $common := .root.Values.database.existingSecret -}}
{{- if .root.Values.postgresql.enabled -}}
name: {{ include "chaingraph.postgresql.secret" .root | quote }}
key: url
{{- else -}}
name: {{ $own.name | default $common.name | quote }}
key: {{ $own.name | empty | ternary $common.key $own.key | default "url" | quote }}
{{- end -}}
{{- end -}}

{{/*
A hash of the connection string where the cluster can be asked: Pods read it when they start, so a new one has to replace
them. Not of the bundled PostgreSQL, whose password stays.
*/}}
{{- define "chaingraph.databaseChecksum" -}}
{{- if not (or .withoutDatabase .root.Values.postgresql.enabled) -}}
{{- $secret := include "chaingraph.databaseSecret" . | fromYaml -}}
{{- with $secret.name | empty | ternary dict (lookup "v1" "Secret" .root.Release.Namespace $secret.name) -}}
{{- dig "data" $secret.key "" . | sha256sum | trunc 32 -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What all processes are told: where traces go. */}}
{{- define "chaingraph.commonSettings" -}}
{{- with .Values.telemetry }}
{{- if .otlp.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .otlp.endpoint | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ .otlp.protocol | quote }}
OTEL_TRACES_SAMPLER: {{ .sampler | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ .samplerArgument | quote }}
{{- $attributes := list }}
{{- range $key, $value := .resourceAttributes }}
{{- $attributes = append $attributes (printf "%s=%s" $key (urlquery (toString $value) | replace "+" "%20")) }}
{{- end }}
OTEL_RESOURCE_ATTRIBUTES: {{ join "," $attributes | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The entries of a map of Kubernetes' that are not null, as YAML: what people took away with null is not there. */}}
{{- define "chaingraph.notNull" -}}
{{- $given := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $given $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{- define "chaingraph.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where Pods go: (dict "root" $ "of" the component's values "selector" the labels of its Pods, as YAML). */}}
{{- define "chaingraph.placement" -}}
{{- include "chaingraph.pullSecrets" .root }}
{{- with .of.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .of.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selector := .selector }}
{{- with .of.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (merge (dict) . (dict "labelSelector" (dict "matchLabels" (fromYaml $selector)))) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "chaingraph.probes" -}}
{{- $probes := dict "startupProbe" "/healthz" "livenessProbe" "/healthz" "readinessProbe" "/readyz" }}
{{- range $probe, $path := $probes }}
{{ $probe }}:
  httpGet: {path: {{ $path }}, port: health}
  {{- toYaml (get $.of $probe) | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The template of the Pods of one of our processes:
(dict "root" $ "component" "operator" "of" its values "selector" labels as YAML "command" a list "settings" texts by name
 "database" a Secret's {name, key} "withoutDatabase" true where there is none "account" the service account's name "token" whether its token is mounted "grace" seconds
 "ports" names and numbers, none for a Job "mounts" "volumes" "preStop" seconds "restartPolicy").
*/}}
{{- define "chaingraph.podTemplate" -}}
metadata:
  labels:
    {{- .selector | nindent 4 }}
    app.kubernetes.io/part-of: chaingraph
    {{- with merge (dict) (.of.podLabels | default dict) .root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $annotations := dict "kubectl.kubernetes.io/default-container" .component }}
  {{- with include "chaingraph.databaseChecksum" . }}
  {{- $_ := set $annotations "chaingraph.dev/database-checksum" . }}
  {{- end }}
  annotations:
    {{- toYaml (merge (dict) (.of.podAnnotations | default dict) $annotations) | nindent 4 }}
spec:
  serviceAccountName: {{ .account | quote }}
  automountServiceAccountToken: {{ .token }}
  enableServiceLinks: false
  {{- with .restartPolicy }}
  restartPolicy: {{ . | quote }}
  {{- end }}
  {{- with .grace }}
  terminationGracePeriodSeconds: {{ int . }}
  {{- end }}
  securityContext:
    {{- include "chaingraph.notNull" .root.Values.podSecurityContext | nindent 4 }}
  {{- with .of.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component | quote }}
      image: {{ include "chaingraph.image" (dict "root" .root "image" .of.image) | quote }}
      imagePullPolicy: {{ dig "image" "pullPolicy" .root.Values.image.pullPolicy .of | quote }}
      command:
        {{- toYaml .command | nindent 8 }}
      env:
        {{- include "chaingraph.env" (dict "root" .root "database" .database "withoutDatabase" .withoutDatabase "extra" .of.extraEnv "settings" (merge (dict) .settings (include "chaingraph.commonSettings" .root | fromYaml))) | trim | nindent 8 }}
      {{- with .of.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .ports }}
      ports:
        {{- range $name, $port := .ports }}
        - {name: {{ $name }}, containerPort: {{ int $port }}}
        {{- end }}
      {{- include "chaingraph.probes" . | nindent 6 }}
      {{- end }}
      {{- with .preStop }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ int . }}}
      {{- end }}
      {{- with .of.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "chaingraph.notNull" .root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- with .mounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with .of.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .of.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "chaingraph.placement" . | nindent 2 }}
{{- end -}}
