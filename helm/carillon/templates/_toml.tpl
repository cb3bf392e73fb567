{{/*
A map as TOML. Helm's toToml writes every number of the values as a float (25.0), which settings that
count something refuse; null leaves a key out, so that a default can be taken back.
Takes a dict: path (of the table, "" for the root), table.
*/}}
{{- define "carillon.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "invalid" $value) (kindIs "map" $value) (include "carillon.toml.isTables" $value)) }}
{{ include "carillon.toml.key" $key }} = {{ include "carillon.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- $name := include "carillon.toml.key" $key -}}
{{- if $path -}}{{- $name = printf "%s.%s" $path $name -}}{{- end -}}
{{- if kindIs "map" $value }}
[{{ $name }}]
{{- include "carillon.toml" (dict "path" $name "table" $value) }}
{{- else if include "carillon.toml.isTables" $value -}}
{{- range $value }}
[[{{ $name }}]]
{{- include "carillon.toml" (dict "path" $name "table" .) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "carillon.toml.isTables" -}}
{{- if and (kindIs "slice" .) . -}}{{- if kindIs "map" (first .) -}}yes{{- end -}}{{- end -}}
{{- end -}}

{{- define "carillon.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{- . -}}{{- else -}}{{- toRawJson . -}}{{- end -}}
{{- end -}}

{{- define "carillon.toml.value" -}}
{{- if kindIs "string" . -}}
{{- toRawJson . -}}
{{- else if kindIs "slice" . -}}
[{{- range $index, $item := . -}}{{- if $index }}, {{ end -}}{{- include "carillon.toml.value" $item -}}{{- end -}}]
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%d" (int64 .) -}}
{{- else if kindIs "float64" . -}}
{{- printf "%v" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}
