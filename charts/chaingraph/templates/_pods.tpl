{{/* What the Pods of several components have in common. */}}

{{/* An image's name: (dict "root" $ "image" a map that overrides parts of .Values.image). A tag overrides a digest. */}}
{{- define "chaingraph.image" -}}
{{- $given := include "chaingraph.given" (.image | default dict) | fromYaml -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) $given -}}
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

{{/* Environment variables from a map; what is empty is left out, so the program's own default holds. */}}
{{- define "chaingraph.env" -}}
{{- range $name, $value := . }}
{{- $text := kindIs "invalid" $value | ternary "" (include "chaingraph.scalar" $value) }}
{{- if ne $text "" }}
- name: {{ $name }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Environment variables that people add: a map of texts, or of `valueFrom`s. */}}
{{- define "chaingraph.extraEnv" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ include "chaingraph.scalar" $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "chaingraph.podName" -}}
- name: CHAINGRAPH_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{/* Where the database is: (dict "root" $ "secret" {name, key} that overrides .Values.database.existingSecret). */}}
{{- define "chaingraph.databaseEnv" -}}
{{- $secret := .secret | default dict -}}
{{- $database := .root.Values.database -}}
- name: DATABASE_URL_EXECUTIONS
  valueFrom:
    secretKeyRef:
      {{- if .root.Values.postgresql.enabled }}
      name: {{ include "chaingraph.postgresql.secret" .root }}
      key: url
      {{- else }}
      {{- $from := $secret.name | empty | ternary $database.existingSecret $secret }}
      name: {{ $from.name }}
      key: {{ $from.key | default "url" }}
      {{- end }}
{{- end -}}

{{- define "chaingraph.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "chaingraph.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
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
{{- with .of.priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . }}
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
  - {{- toYaml (omit . "labelSelector") | nindent 4 }}
    labelSelector:
      {{- if .labelSelector }}
      {{- toYaml .labelSelector | nindent 6 }}
      {{- else }}
      matchLabels:
        {{- $selector | nindent 8 }}
      {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The probes of a process that has the health port: (dict "of" the component's values). */}}
{{- define "chaingraph.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  {{- toYaml .of.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: health}
  {{- toYaml .of.readinessProbe | nindent 2 }}
{{- end -}}
