{{/* Names and labels. A name that would be too long is cut and ends in a part of its hash, so that two never meet. */}}

{{/* The text cut to a length: (dict "text" ... "max" 63). Lower case letters, digits and '-' alone. */}}
{{- define "chaingraph.shortened" -}}
{{- $text := .text | lower | replace "_" "-" | replace "." "-" | replace "+" "-" | trimAll "-" -}}
{{- if le (len $text) (int .max) -}}
{{- $text -}}
{{- else -}}
{{- printf "%s-%s" ($text | trunc (int (sub .max 9)) | trimSuffix "-") (sha256sum .text | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "chaingraph.name" -}}
{{- include "chaingraph.shortened" (dict "text" (default .Chart.Name .Values.nameOverride) "max" 63) -}}
{{- end -}}

{{/* What all objects of this release begin with. 40 characters, because others are added. */}}
{{- define "chaingraph.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- include "chaingraph.shortened" (dict "text" $full "max" 40) -}}
{{- end -}}

{{/*
The release in labels. In a parent chart, which may have this one several times, not the parent's alone: the operator takes
all workers with this label for its own.
*/}}
{{- define "chaingraph.instance" -}}
{{- $instance := .Chart.IsRoot | ternary .Release.Name (include "chaingraph.fullname" .) -}}
{{- include "chaingraph.shortened" (dict "text" $instance "max" 63) -}}
{{- end -}}

{{/* Name of a cluster-wide object: releases of one name in two namespaces must not share it. */}}
{{- define "chaingraph.clusterName" -}}
{{- include "chaingraph.shortened" (dict "text" (printf "%s-%s" .Release.Namespace (include "chaingraph.fullname" .)) "max" 63) -}}
{{- end -}}

{{/* What never changes: (dict "root" $ "component" "operator"). */}}
{{- define "chaingraph.selector" -}}
app.kubernetes.io/name: {{ include "chaingraph.name" .root | quote }}
app.kubernetes.io/instance: {{ include "chaingraph.instance" .root | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{- define "chaingraph.labels" -}}
{{ include "chaingraph.selector" . }}
app.kubernetes.io/part-of: chaingraph
app.kubernetes.io/version: {{ .root.Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "component" "operator" "name" ... "namespace" ... "labels" ... "annotations" ...). */}}
{{- define "chaingraph.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "chaingraph.fullname" .root) .component) | quote }}
{{- if not .clusterWide }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "chaingraph.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "chaingraph.serviceAccountName" -}}
{{- if .account.create -}}
{{- .account.name | default (printf "%s-%s" (include "chaingraph.fullname" .root) .component) -}}
{{- else -}}
{{- .account.name | default "default" -}}
{{- end -}}
{{- end -}}
