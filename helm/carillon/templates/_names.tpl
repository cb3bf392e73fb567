{{/* Names and labels. Objects of a component take a dict: root, component. */}}

{{/*
A text as DNS takes it, of at most so many characters. What had to change gets a hash of the whole, so that two
that differ only there do not meet. Takes a dict: text, most.
*/}}
{{- define "carillon.shortened" -}}
{{- $name := .text | lower | replace "." "-" | replace "_" "-" | trimAll "-" -}}
{{- if not (regexMatch "^[a-z]" $name) -}}{{- $name = printf "c-%s" $name -}}{{- end -}}
{{- if or (ne $name .text) (gt (len $name) (int .most)) -}}
{{- $name = printf "%s-%s" ($name | trunc (sub .most 7 | int) | trimSuffix "-") (.text | sha256sum | trunc 6) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* As a dependency with an alias, the chart's name is that. */}}
{{- define "carillon.name" -}}
{{- include "carillon.shortened" (dict "text" (.Values.nameOverride | default .Chart.Name) "most" 63) -}}
{{- end -}}

{{/*
At most 35 characters: with `-dispatcher`, the ReplicaSet's hash and the pod's own part that is 63. Beyond it
Kubernetes would cut the pod's name, whose last two parts are a gateway's.
*/}}
{{- define "carillon.fullname" -}}
{{- $name := include "carillon.name" . -}}
{{- $whole := printf "%s-%s" .Release.Name $name -}}
{{- if contains $name .Release.Name -}}{{- $whole = .Release.Name -}}{{- end -}}
{{- include "carillon.shortened" (dict "text" (.Values.fullnameOverride | default $whole) "most" 35) -}}
{{- end -}}

{{- define "carillon.componentName" -}}
{{- printf "%s-%s" (include "carillon.fullname" .root) .component -}}
{{- end -}}

{{/* Differ by component: an autoscaler counts every pod that its selector matches. */}}
{{- define "carillon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "carillon.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* A version as a label takes it. */}}
{{- define "carillon.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (. | replace "+" "_" | trunc 63) "" -}}
{{- end -}}

{{- define "carillon.labels" -}}
{{ include "carillon.selectorLabels" . }}
app.kubernetes.io/part-of: carillon
app.kubernetes.io/version: {{ include "carillon.labelValue" .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | include "carillon.labelValue" | quote }}
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
name: {{ .name | default (include "carillon.componentName" .) | quote }}
labels:
  {{- merge (dict) (.labels | default dict) (include "carillon.labels" . | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
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
