{{/* The configuration of each service. */}}

{{/* Which sections a service reads; one that is not here goes to both. */}}
{{- define "carillon.config.others" -}}
{{- get (dict "gateway" "dispatcher idempotency canary" "dispatcher" "gateway socket audit") . -}}
{{- end -}}

{{/* Settings that the chart computes, each with the value that is meant. YAML. */}}
{{- define "carillon.config.managed" -}}
backend.url: redis.url
backend.url_file: redis.existingSecret
backend.username: redis.auth.username
backend.password_file: redis.auth.existingSecret
backend.sentinel_username: redis.sentinel.auth.username
backend.sentinel_password_file: redis.sentinel.auth.existingSecret
backend.ca_file: redis.tls.caSecret
backend.cert_file: redis.tls.certSecret
backend.key_file: redis.tls.certSecret
auth.dir: auth.issuers.existingSecret and auth.apiKeys.existingSecret
gateway.listen: listenAddress
gateway.name: nothing, because each pod needs a name of its own
gateway.path: gateway.path
gateway.max_connections: gateway.maxConnections
gateway.handshake_rate: gateway.handshakeRate
gateway.handshake_burst: gateway.handshakeBurst
drain.delay: gateway.drain.readinessDelaySeconds
drain.window: gateway.drain.windowSeconds
drain.close_grace: gateway.drain.closeGraceSeconds
dispatcher.listen: listenAddress
dispatcher.request_timeout: dispatcher.requestTimeoutSeconds
admin.listen: listenAddress
kubernetes.pod_name: nothing, because the chart takes it from the pod
kubernetes.namespace: nothing, because the chart takes it from the pod
kubernetes.watch: kubernetes.watch
kubernetes.gateway_selector: nothing, because the chart takes it from the labels
canary.url: canary.existingSecret, which leads to the gateways' Service
canary.token_file: canary.existingSecret
canary.interval: canary.intervalSeconds
canary.timeout: canary.timeoutSeconds
tracing.endpoint: tracing.endpoint
tracing.protocol: tracing.protocol
tracing.sampler: tracing.sampler
tracing.ratio: tracing.ratio
tracing.resource_attributes: tracing.resourceAttributes
tracing.headers: tracing.headers.existingSecret
tracing.ca_file: tracing.caSecret
{{- end -}}

{{/* The Secret that a service checks log-ins with. Takes a dict: root, component. */}}
{{- define "carillon.authSecret" -}}
{{- $auth := .root.Values.auth -}}
{{- (ternary $auth.issuers $auth.apiKeys (eq .component "gateway")).existingSecret | default $auth.existingSecret -}}
{{- end -}}

{{- define "carillon.listen" -}}
{{- $address := .root.Values.listenAddress -}}
{{- if contains ":" $address -}}{{- $address = printf "[%s]" $address -}}{{- end -}}
{{- printf "%s:%d" $address (int .port) -}}
{{- end -}}

{{/* carillon.toml of one service. Takes a dict: root, component. */}}
{{- define "carillon.config" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $url := include "carillon.redis.url" $root -}}
{{- $drain := include "carillon.drain" $root | fromJson -}}
{{- /* preStop has waited before SIGTERM comes, so `drain.delay` need not. */ -}}
{{- $computed := dict
      "backend" (merge (ternary (dict "url" $url) (dict "url_file" "/etc/carillon/redis/url") (ne $url "")) (include "carillon.redis.settings" . | fromJson))
      "admin" (dict "listen" (include "carillon.listen" (dict "root" $root "port" 9090)))
      "drain" (dict "delay" "0s") -}}
{{- if include "carillon.authSecret" . -}}
{{- $_ := set $computed "auth" (dict "dir" "/etc/carillon/auth") -}}
{{- end -}}
{{- with include "carillon.tracing" $root | fromJson -}}
{{- $_ := set $computed "tracing" . -}}
{{- end -}}
{{- $config := deepCopy ($values.config | default dict) -}}
{{- if eq .component "gateway" -}}
{{- $_ := set $computed "gateway" (dict
      "listen" (include "carillon.listen" (dict "root" $root "port" 8080))
      "path" $values.gateway.path
      "max_connections" $values.gateway.maxConnections
      "handshake_rate" $values.gateway.handshakeRate
      "handshake_burst" $values.gateway.handshakeBurst) -}}
{{- $_ := set $computed "drain" (dict
      "delay" "0s"
      "window" (printf "%ds" (int $drain.window))
      "close_grace" (printf "%ds" (int $drain.grace))) -}}
{{- else -}}
{{- /* Of the drain a dispatcher reads the delay alone. */ -}}
{{- $_ := unset $config "drain" -}}
{{- $_ := set $computed "dispatcher" (dict
      "listen" (include "carillon.listen" (dict "root" $root "port" 8081))
      "request_timeout" (printf "%ds" (int $values.dispatcher.requestTimeoutSeconds))) -}}
{{- if $values.canary.existingSecret -}}
{{- $gateway := include "carillon.componentName" (dict "root" $root "component" "gateway") -}}
{{- $_ := set $computed "canary" (dict
      "url" (printf "ws://%s:%d%s" $gateway (int $values.gateway.service.port) $values.gateway.path)
      "token_file" "/etc/carillon/canary/token"
      "interval" (printf "%ds" (int $values.canary.intervalSeconds))
      "timeout" (printf "%ds" (int $values.canary.timeoutSeconds))) -}}
{{- end -}}
{{- if $values.kubernetes.watch -}}
{{- $selector := list -}}
{{- range $key, $value := include "carillon.selectorLabels" (dict "root" $root "component" "gateway") | fromYaml -}}
{{- $selector = append $selector (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- $_ := set $computed "kubernetes" (dict "watch" true "gateway_selector" (join "," $selector)) -}}
{{- end -}}
{{- end -}}
{{- $config = mustMergeOverwrite $config $computed -}}
{{- /* Of the gateways' section a dispatcher reads which pages may call. */ -}}
{{- $origins := dig "gateway" "origins" list $config -}}
{{- range splitList " " (include "carillon.config.others" .component) -}}
{{- $_ := unset $config . -}}
{{- end -}}
{{- if and (eq .component "dispatcher") $origins -}}
{{- $_ := set $config "gateway" (dict "origins" $origins) -}}
{{- end -}}
{{- include "carillon.toml" (dict "path" "" "table" $config) | trim -}}
{{- end -}}
