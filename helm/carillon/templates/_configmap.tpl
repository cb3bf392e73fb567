{{/*
ConfigMaps are named by what they hold, and never change: a pod finds what its own revision was written with,
also while the pods of a newer one fail. Templates here take a dict: root, component.
*/}}

{{- define "carillon.configMapName" -}}
{{- printf "%s-%s" (include "carillon.componentName" .) (include "carillon.config" . | sha256sum | trunc 10) -}}
{{- end -}}

{{- define "carillon.configMaps" -}}
{{- include "carillon.configMap" (merge (dict "name" (include "carillon.configMapName" .) "text" (include "carillon.config" .)) .) }}
{{- range $name, $text := include "carillon.oldConfigs" . | fromJson }}
---
{{ include "carillon.configMap" (merge (dict "name" $name "text" $text) $) }}
{{- end }}
{{- end -}}

{{/* Takes name and text besides. */}}
{{- define "carillon.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- /* Argo CD takes away what is not rendered any more, with this only when everything else is healthy. */}}
  {{- include "carillon.metadata" (merge (dict "annotations" (dict "argocd.argoproj.io/sync-options" "PruneLast=true")) .) | nindent 2 }}
immutable: true
data:
  carillon.toml: |
    {{- .text | nindent 4 }}
{{- end -}}

{{/*
What ReplicaSets of earlier revisions (revisionHistoryLimit of them) were written with: Helm would delete it
with the upgrade, and their pods could not start again. JSON: name → text; {} where no cluster is asked.
*/}}
{{- define "carillon.oldConfigs" -}}
{{- $old := dict -}}
{{- if .root.Values.keepOldConfigs -}}
{{- $namespace := .root.Release.Namespace -}}
{{- $current := include "carillon.configMapName" . -}}
{{- $labels := include "carillon.selectorLabels" . | fromYaml -}}
{{- range $set := (lookup "apps/v1" "ReplicaSet" $namespace "").items -}}
{{- $own := true -}}
{{- range $key, $value := $labels -}}
{{- if ne (dig "metadata" "labels" $key "" $set) $value -}}{{- $own = false -}}{{- end -}}
{{- end -}}
{{- range ternary (dig "spec" "template" "spec" "volumes" list $set) list $own -}}
{{- $name := dig "configMap" "name" "" . -}}
{{- if and (eq .name "config") $name (ne $name $current) -}}
{{- $text := dig "data" "carillon.toml" "" (lookup "v1" "ConfigMap" $namespace $name) -}}
{{- if $text -}}{{- $_ := set $old $name (trimSuffix "\n" $text) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $old -}}
{{- end -}}
