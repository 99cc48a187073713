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
{{- .Values.gateway.url | default (printf "https://%s:%v" (include "chaingraph.gateway.host" .) (int .Values.gateway.service.port)) -}}
{{- end -}}

{{/* The gateway's environment variables by name. */}}
{{- define "chaingraph.gateway.settings" -}}
CHAINGRAPH_TLS_CERTIFICATE: /etc/chaingraph/tls/tls.crt
CHAINGRAPH_TLS_KEY: /etc/chaingraph/tls/tls.key
{{- end -}}
