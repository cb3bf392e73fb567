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
{{- printf "%s+%s://%s%s" $scheme $redis.mode $nodes $name -}}
{{- end -}}
{{- end -}}

{{/*
A log-in that stands beside the URL. Takes a dict: root, component, at ("redis" or "sentinel"). JSON: secret,
username, usernameKey, passwordKey; of a service what is its own, else what holds for both.
*/}}
{{- define "carillon.redis.login" -}}
{{- $redis := .root.Values.redis -}}
{{- $both := ternary $redis.sentinel.auth $redis.auth (eq .at "sentinel") -}}
{{- $own := dict -}}
{{- if eq .at "redis" -}}{{- $own = index $redis.auth .component -}}{{- end -}}
{{- $login := dict "secret" ($own.existingSecret | default $both.existingSecret) -}}
{{- range list "username" "usernameKey" "passwordKey" -}}
{{- $_ := set $login . (get $own . | default (get $both .)) -}}
{{- end -}}
{{- /* A user of its own takes the place of the other one, wherever that comes from. */ -}}
{{- if $own.username -}}{{- $_ := set $login "usernameKey" "" -}}{{- end -}}
{{- if $own.usernameKey -}}{{- $_ := set $login "username" "" -}}{{- end -}}
{{- toJson $login -}}
{{- end -}}

{{/* What [backend] says besides the URL: log-ins and certificates. Takes a dict: root, component. JSON. */}}
{{- define "carillon.redis.settings" -}}
{{- $redis := .root.Values.redis -}}
{{- $settings := dict -}}
{{- range $at, $prefix := dict "redis" "" "sentinel" "sentinel_" -}}
{{- $login := include "carillon.redis.login" (merge (dict "at" $at) $) | fromJson -}}
{{- if $login.username -}}{{- $_ := set $settings (printf "%susername" $prefix) $login.username -}}{{- end -}}
{{- if $login.secret -}}{{- $_ := set $settings (printf "%spassword_file" $prefix) (printf "/etc/carillon/%s-auth/password" $at) -}}{{- end -}}
{{- end -}}
{{- if and $redis.tls.caSecret (not (contains "ca_file=" (include "carillon.redis.url" .root))) -}}
{{- $_ := set $settings "ca_file" "/etc/carillon/redis-tls/ca.crt" -}}
{{- end -}}
{{- if $redis.tls.certSecret -}}
{{- $_ := set $settings "cert_file" "/etc/carillon/redis-cert/tls.crt" -}}
{{- $_ := set $settings "key_file" "/etc/carillon/redis-cert/tls.key" -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* The same as variables: users that are in a Secret, of which only passwords can be files. JSON: {"env": […]}. */}}
{{- define "carillon.redis.env" -}}
{{- $env := list -}}
{{- range $at, $name := dict "redis" "USERNAME" "sentinel" "SENTINEL_USERNAME" -}}
{{- $login := include "carillon.redis.login" (merge (dict "at" $at) $) | fromJson -}}
{{- if $login.usernameKey -}}
{{- $from := dict "secretKeyRef" (dict "name" $login.secret "key" $login.usernameKey) -}}
{{- $env = append $env (dict "name" (printf "CARILLON__BACKEND__%s" $name) "valueFrom" $from) -}}
{{- end -}}
{{- end -}}
{{- dict "env" $env | toJson -}}
{{- end -}}

{{/* Secrets that are mounted for Redis, each at /etc/carillon/NAME: name, secret, items. Takes a dict: root, component. JSON: {"mounts": […]}. */}}
{{- define "carillon.redis.mounts" -}}
{{- $redis := .root.Values.redis -}}
{{- $mounts := list -}}
{{- if and (eq (include "carillon.redis.url" .root) "") $redis.existingSecret -}}
{{- $mounts = append $mounts (dict "name" "redis" "secret" $redis.existingSecret
      "items" (list (dict "key" (index $redis.existingSecretKeys .component) "path" "url"))) -}}
{{- end -}}
{{- range $at := list "redis" "sentinel" -}}
{{- $login := include "carillon.redis.login" (merge (dict "at" $at) $) | fromJson -}}
{{- if $login.secret -}}
{{- $mounts = append $mounts (dict "name" (printf "%s-auth" $at) "secret" $login.secret
      "items" (list (dict "key" $login.passwordKey "path" "password"))) -}}
{{- end -}}
{{- end -}}
{{- if $redis.tls.caSecret -}}
{{- $mounts = append $mounts (dict "name" "redis-tls" "secret" $redis.tls.caSecret
      "items" (list (dict "key" $redis.tls.caKey "path" "ca.crt"))) -}}
{{- end -}}
{{- if $redis.tls.certSecret -}}
{{- $mounts = append $mounts (dict "name" "redis-cert" "secret" $redis.tls.certSecret
      "items" (list (dict "key" $redis.tls.certKey "path" "tls.crt") (dict "key" $redis.tls.keyKey "path" "tls.key"))) -}}
{{- end -}}
{{- dict "mounts" $mounts | toJson -}}
{{- end -}}

{{/* The ports in a URL, those that it leaves out too. Takes a dict: url, default. JSON: {"ports": […]}. */}}
{{- define "carillon.redis.urlPorts" -}}
{{- $ports := list -}}
{{- $authority := .url | splitList "://" | last | splitList "/" | first | splitList "?" | first | splitList "@" | last -}}
{{- range splitList "," $authority -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $.default | int) -}}
{{- end -}}
{{- dict "ports" (uniq $ports) | toJson -}}
{{- end -}}

{{/* The ports that the network policy opens to Redis. JSON: {"ports": […]}. */}}
{{- define "carillon.redis.ports" -}}
{{- $redis := .Values.redis -}}
{{- $sentinel := eq $redis.mode "sentinel" -}}
{{- $url := include "carillon.redis.url" . -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.redis.ports -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- if not $ports -}}
{{- if $sentinel -}}
{{- $ports = list 26379 -}}
{{- if $url -}}{{- $ports = (include "carillon.redis.urlPorts" (dict "url" $url "default" "26379") | fromJson).ports -}}{{- end -}}
{{- /* The sentinels answer with the address of the primary, whose port no URL names. */ -}}
{{- $ports = append $ports (int ($redis.port | default 6379)) -}}
{{- else if or $redis.port (not $url) -}}
{{- $ports = list (int ($redis.port | default 6379)) -}}
{{- else -}}
{{- $ports = (include "carillon.redis.urlPorts" (dict "url" $url "default" "6379") | fromJson).ports -}}
{{- end -}}
{{- end -}}
{{- $whole := list -}}
{{- range $ports -}}{{- $whole = append $whole (int .) -}}{{- end -}}
{{- dict "ports" (uniq $whole) | toJson -}}
{{- end -}}
