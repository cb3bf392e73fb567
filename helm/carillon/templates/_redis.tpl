{{/* Where Redis is. */}}

{{/* The URL for the configuration; "" when a Secret holds it. */}}
{{- define "carillon.redis.url" -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.mode "dev" -}}
{{- /* A short name: the search path of the pods completes it in whatever domain the cluster has. */ -}}
{{- printf "redis://%s-redis:6379" (include "carillon.fullname" .) -}}
{{- else if $redis.existingSecret -}}
{{- else if $redis.url -}}
{{- $redis.url -}}
{{- else if ne $redis.mode "external" -}}
{{- $scheme := ternary "rediss" "redis" $redis.tls.enabled -}}
{{- $nodes := (index $redis $redis.mode).nodes | join "," -}}
{{- $name := ternary (printf "/%s" $redis.sentinel.masterName) "" (eq $redis.mode "sentinel") -}}
{{- $ca := ternary "?ca_file=/etc/carillon/redis-tls/ca.crt" "" (and $redis.tls.enabled (ne $redis.tls.caSecret "")) -}}
{{- printf "%s+%s://%s%s%s" $scheme $redis.mode $nodes $name $ca -}}
{{- end -}}
{{- end -}}

{{/* The ports that the services connect to. JSON: {"ports": […]}. */}}
{{- define "carillon.redis.ports" -}}
{{- $redis := .Values.redis -}}
{{- $sentinel := eq $redis.mode "sentinel" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.redis.ports -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- if not $ports -}}
{{- $url := include "carillon.redis.url" . -}}
{{- if $url -}}
{{- $authority := $url | splitList "://" | last | splitList "/" | first | splitList "?" | first | splitList "@" | last -}}
{{- range splitList "," $authority -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (ternary "26379" "6379" $sentinel) | int) -}}
{{- end -}}
{{- else if $sentinel -}}
{{- $ports = append $ports 26379 -}}
{{- end -}}
{{- /* The sentinels answer with the address of the primary, whose port no value names. */ -}}
{{- if or $sentinel (not $ports) -}}{{- $ports = append $ports 6379 -}}{{- end -}}
{{- end -}}
{{- dict "ports" (uniq $ports) | toJson -}}
{{- end -}}
