{{/* Where spans go. */}}

{{/* [tracing] of both services. JSON; {} where nothing is traced. */}}
{{- define "carillon.tracing" -}}
{{- $tracing := .Values.tracing -}}
{{- $settings := dict -}}
{{- if $tracing.endpoint -}}
{{- $settings = dict "endpoint" $tracing.endpoint "protocol" $tracing.protocol "sampler" $tracing.sampler "ratio" $tracing.ratio -}}
{{- $attributes := list -}}
{{- range $key, $value := $tracing.resourceAttributes -}}
{{- /* What separates them, and what is none of a header's, is percent-encoded. */ -}}
{{- $attributes = append $attributes (printf "%s=%s" $key ($value | replace "%" "%25" | replace "," "%2C" | replace "=" "%3D")) -}}
{{- end -}}
{{- if $attributes -}}{{- $_ := set $settings "resource_attributes" (join "," $attributes) -}}{{- end -}}
{{- if $tracing.caSecret -}}{{- $_ := set $settings "ca_file" "/etc/carillon/tracing/ca.crt" -}}{{- end -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* A header may be a password, so it is no part of the ConfigMap. JSON: {"env": […]}. */}}
{{- define "carillon.tracing.env" -}}
{{- $tracing := .Values.tracing -}}
{{- $env := list -}}
{{- if and $tracing.endpoint $tracing.headers.existingSecret -}}
{{- $from := dict "secretKeyRef" (dict "name" $tracing.headers.existingSecret "key" $tracing.headers.key) -}}
{{- $env = append $env (dict "name" "CARILLON__TRACING__HEADERS" "valueFrom" $from) -}}
{{- end -}}
{{- dict "env" $env | toJson -}}
{{- end -}}

{{/* As `carillon.redis.mounts`. */}}
{{- define "carillon.tracing.mounts" -}}
{{- $tracing := .Values.tracing -}}
{{- $mounts := list -}}
{{- if and $tracing.endpoint $tracing.caSecret -}}
{{- $mounts = append $mounts (dict "name" "tracing" "secret" $tracing.caSecret
      "items" (list (dict "key" $tracing.caKey "path" "ca.crt"))) -}}
{{- end -}}
{{- dict "mounts" $mounts | toJson -}}
{{- end -}}

{{/* The network policy has to open the collector's port. */}}
{{- define "carillon.validate.tracing" -}}
{{- $tracing := .Values.tracing -}}
{{- if $tracing.endpoint }}
{{- if not (regexMatch "^https?://[^/?#@]+" $tracing.endpoint) }}
tracing.endpoint is not where a collector listens; write scheme, host and port, such as http://collector.tracing:4317.
{{- else }}
{{- $usual := ternary "443" "80" (hasPrefix "https:" $tracing.endpoint) }}
{{- $port := (include "carillon.redis.urlPorts" (dict "url" $tracing.endpoint "default" $usual) | fromJson).ports | first | int }}
{{- $open := list }}
{{- range .Values.networkPolicy.otlp.ports }}{{- $open = append $open (int .) }}{{- end }}
{{- if and .Values.networkPolicy.enabled (not (has $port $open)) }}
tracing.endpoint leads to port {{ $port }}, which the network policy would not open; set networkPolicy.otlp.ports to that of the collector's pods, besides {{ $port }} if a Service maps it.
{{- end }}
{{- end }}
{{- if and $tracing.caSecret (not (hasPrefix "https:" $tracing.endpoint)) }}
tracing.caSecret is set, but tracing.endpoint is one without TLS; write https in place of http in it, or leave the Secret out.
{{- end }}
{{- else }}
{{- range $name, $given := dict "tracing.headers.existingSecret" $tracing.headers.existingSecret "tracing.caSecret" $tracing.caSecret }}
{{- if $given }}
{{ $name }} is set, but nothing is traced; set tracing.endpoint, or leave the Secret out.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
