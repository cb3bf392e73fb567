{{/* Names and labels. Objects of a component take a dict: root, component. */}}

{{- define "carillon.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, so that `-dispatcher` fits into a label's 63. */}}
{{- define "carillon.fullname" -}}
{{- $name := include "carillon.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "carillon.componentName" -}}
{{- printf "%s-%s" (include "carillon.fullname" .root) .component -}}
{{- end -}}

{{/* Differ by component: an autoscaler counts every pod that its selector matches. */}}
{{- define "carillon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "carillon.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "carillon.labels" -}}
{{ include "carillon.selectorLabels" . }}
app.kubernetes.io/part-of: carillon
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of pods: nothing that changes with each version of the chart, which would restart them all. */}}
{{- define "carillon.podLabels" -}}
{{ include "carillon.selectorLabels" . }}
app.kubernetes.io/part-of: carillon
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of every object: root, component; name if it is not the component's; labels, annotations. */}}
{{- define "carillon.metadata" -}}
name: {{ .name | default (include "carillon.componentName" .) }}
labels:
  {{- merge (dict) (.labels | default dict) (include "carillon.labels" . | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "carillon.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- $account.name | default (ternary (include "carillon.componentName" .) "default" $account.create) -}}
{{- end -}}

{{/* Takes a dict: root, image. */}}
{{- define "carillon.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $name := .image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" $registry .image.repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
