{{- define "chaingraph.gateway.name" -}}
{{ include "chaingraph.fullname" . }}-gateway
{{- end -}}

{{/* Secret with tls.crt and tls.key. */}}
{{- define "chaingraph.gateway.tlsSecret" -}}
{{ .Values.gateway.tls.existingSecret | default (printf "%s-tls" (include "chaingraph.gateway.name" .)) }}
{{- end -}}

{{- define "chaingraph.gateway.host" -}}
{{ include "chaingraph.gateway.name" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* The address that people are told. */}}
{{- define "chaingraph.gateway.url" -}}
{{- with .Values.gateway -}}
{{- if .url -}}
{{ .url | trimSuffix "/" }}
{{- else if .ingress.enabled -}}
https://{{ .ingress.host }}
{{- else -}}
https://{{ include "chaingraph.gateway.host" $ }}:{{ int .service.port }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "chaingraph.gateway.account" -}}
{{ include "chaingraph.serviceAccountName" (dict "root" . "component" "gateway" "account" .Values.gateway.serviceAccount) }}
{{- end -}}

{{/* The names and addresses that a certificate made here is for, as {names, addresses}. */}}
{{- define "chaingraph.gateway.certificateNames" -}}
{{- $service := include "chaingraph.gateway.name" . -}}
{{- $host := include "chaingraph.gateway.host" . -}}
{{- $told := regexReplaceAll ":[0-9]+$" (urlParse (include "chaingraph.gateway.url" .)).host "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $names := list $service (printf "%s.%s" $service .Release.Namespace) $host (printf "%s.cluster.local" $host) "localhost" -}}
{{- $addresses := list "127.0.0.1" "::1" -}}
{{- range append .Values.gateway.tls.extraNames $told -}}
{{- if regexMatch "^[0-9.]+$|:" . }}{{ $addresses = append $addresses . }}{{ else }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- dict "names" (uniq $names) "addresses" (uniq $addresses) | toYaml -}}
{{- end -}}

{{/* The gateway's environment variables by name. */}}
{{- define "chaingraph.gateway.settings" -}}
{{- with .Values.gateway -}}
CHAINGRAPH_GATEWAY_HOST: {{ .host | quote }}
CHAINGRAPH_GATEWAY_PORT: {{ include "chaingraph.scalar" .port | quote }}
CHAINGRAPH_TLS_CERTIFICATE: /etc/chaingraph/tls/tls.crt
CHAINGRAPH_TLS_KEY: /etc/chaingraph/tls/tls.key
CHAINGRAPH_HEARTBEAT_SECONDS: {{ include "chaingraph.scalar" .heartbeatSeconds | quote }}
CHAINGRAPH_MAX_STREAMS: {{ include "chaingraph.scalar" .maxStreams | quote }}
CHAINGRAPH_MAX_STREAMS_PER_CALLER: {{ include "chaingraph.scalar" .maxStreamsPerCaller | quote }}
CHAINGRAPH_MAX_REQUESTS_PER_CALLER: {{ include "chaingraph.scalar" .maxRequestsPerCaller | quote }}
CHAINGRAPH_MAX_CONNECTIONS: {{ include "chaingraph.scalar" .maxConnections | quote }}
CHAINGRAPH_MAX_CONNECTIONS_PER_ADDRESS: {{ include "chaingraph.scalar" .maxConnectionsPerAddress | quote }}
CHAINGRAPH_TRUSTED_PROXIES: {{ .trustedProxies | quote }}
CHAINGRAPH_HEAD_SECONDS: {{ include "chaingraph.scalar" .headSeconds | quote }}
CHAINGRAPH_IDLE_SECONDS: {{ include "chaingraph.scalar" .idleSeconds | quote }}
CHAINGRAPH_STALL_SECONDS: {{ include "chaingraph.scalar" .stallSeconds | quote }}
CHAINGRAPH_MAX_HEAD_BYTES: {{ include "chaingraph.scalar" .maxHeadBytes | quote }}
CHAINGRAPH_PAGE_BYTES: {{ include "chaingraph.scalar" .pageBytes | quote }}
CHAINGRAPH_INLINE_BYTES: {{ include "chaingraph.scalar" .inlineBytes | quote }}
CHAINGRAPH_MAX_LARGE_READS: {{ include "chaingraph.scalar" .maxLargeReads | quote }}
CHAINGRAPH_TOKEN_AUDIENCES: {{ .tokenAudiences | quote }}
CHAINGRAPH_ACCEPT_API_TOKENS: {{ .acceptApiTokens | quote }}
CHAINGRAPH_TOKEN_CACHE_SECONDS: {{ include "chaingraph.scalar" .tokenCacheSeconds | quote }}
CHAINGRAPH_MAX_TOKEN_REVIEWS: {{ include "chaingraph.scalar" .maxTokenReviews | quote }}
CHAINGRAPH_FAILED_TOKENS_PER_MINUTE: {{ include "chaingraph.scalar" .failedTokensPerMinute | quote }}
CHAINGRAPH_REAUTHORIZE_SECONDS: {{ include "chaingraph.scalar" .reauthorizeSeconds | quote }}
CHAINGRAPH_STREAM_SECONDS: {{ include "chaingraph.scalar" .streamSeconds | quote }}
CHAINGRAPH_GATEWAY_CONNECTIONS: {{ include "chaingraph.scalar" .connections | quote }}
CHAINGRAPH_HEALTH_PORT: {{ include "chaingraph.scalar" .healthPort | quote }}
CHAINGRAPH_HEALTH_HOST: {{ .healthHost | quote }}
LOG_LEVEL: {{ .logLevel | default $.Values.logLevel | quote }}
{{- end -}}
{{- end -}}
