{{/*
What is refused, each with a sentence that says what to change, and all of it at once. What a single
value may be is the schema's matter; here are values that do not go together.
*/}}
{{- define "carillon.validate" -}}
{{- $problems := list -}}
{{- range $group := list "redis" "auth" "tracing" "config" "services" "names" "images" "environment" "autoscaling" "routes" "apis" "objects" "dependency" -}}
{{- range splitList "\n" (include (printf "carillon.validate.%s" $group) $) -}}
{{- $line := trim . -}}
{{- if $line -}}{{- $problems = append $problems (printf "  - %s" $line) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- printf "these values cannot work:\n%s" (join "\n" $problems) | fail -}}
{{- end -}}
{{- end -}}

{{- define "carillon.validate.redis" -}}
{{- $redis := .Values.redis -}}
{{- $url := $redis.url -}}
{{- if eq $redis.mode "dev" }}
{{- if or $url $redis.existingSecret }}
redis.mode is dev, which starts a Redis of its own, but redis.url or redis.existingSecret names another; leave them empty, or choose external, sentinel or cluster.
{{- end }}
{{- else }}
{{- if and $url $redis.existingSecret }}
redis.url and redis.existingSecret are both set; keep the one that is meant.
{{- end }}
{{- if and (eq $redis.mode "external") (not $url) (not $redis.existingSecret) }}
redis.mode is external, but nothing names the Redis; set redis.url, or redis.existingSecret to a Secret that holds the URL (or redis.mode=dev to try things out).
{{- end }}
{{- if and (has $redis.mode (list "sentinel" "cluster")) (not $url) (not $redis.existingSecret) (not (index $redis $redis.mode).nodes) }}
redis.mode is {{ $redis.mode }}, but nothing names the servers; set redis.{{ $redis.mode }}.nodes, or redis.existingSecret to a Secret that holds the URL.
{{- end }}
{{- if and (eq $redis.mode "sentinel") $redis.sentinel.nodes (not $redis.sentinel.masterName) }}
redis.sentinel.masterName is empty; set the primary's name in the sentinels' configuration.
{{- end }}
{{- if regexMatch "://[^/?@]*:[^/?@]+@" $url }}
redis.url holds a password, which everyone who reads the ConfigMap would see; put the URL into a Secret and name it in redis.existingSecret.
{{- end }}
{{- $schemes := get (dict "external" (list "redis" "rediss") "sentinel" (list "redis+sentinel" "rediss+sentinel") "cluster" (list "redis+cluster" "rediss+cluster")) $redis.mode }}
{{- if and $url (not (has (splitList "://" $url | first) $schemes)) }}
redis.url does not start with {{ join ":// or " $schemes }}://, as redis.mode={{ $redis.mode }} needs; change the URL or the mode.
{{- end }}
{{- range $key, $secret := dict "caSecret" $redis.tls.caSecret "certSecret" $redis.tls.certSecret }}
{{- if and $secret $url (not (hasPrefix "rediss" $url)) }}
redis.tls.{{ $key }} is set, but redis.url is one without TLS; write rediss in place of redis in it, or leave the Secret out.
{{- else if and $secret (not $url) (not $redis.existingSecret) (not $redis.tls.enabled) }}
redis.tls.{{ $key }} is set, but redis.tls.enabled is false; set it to true, or leave the Secret out.
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.redis.ports) }}
{{- include "carillon.validate.redisPorts" . }}
{{- end }}
{{- end }}
{{- include "carillon.validate.redisLogins" . }}
{{- include "carillon.validate.redisVolume" . }}
{{- end -}}

{{/* A URL in a Secret, as far as there is a cluster to ask: the network policy has to open its port. */}}
{{- define "carillon.validate.redisPorts" -}}
{{- $redis := .Values.redis -}}
{{- $sentinel := eq $redis.mode "sentinel" -}}
{{- if and $redis.existingSecret (or $sentinel (not $redis.port)) }}
{{- $usual := ternary "26379" "6379" $sentinel }}
{{- $data := (lookup "v1" "Secret" .Release.Namespace $redis.existingSecret).data | default dict }}
{{- range values $redis.existingSecretKeys | uniq }}
{{- $url := get $data . | b64dec | trim }}
{{- range ternary (include "carillon.redis.urlPorts" (dict "url" $url "default" $usual) | fromJson).ports list (ne $url "") }}
{{- if ne (int .) (int $usual) }}
the URL in the Secret {{ $redis.existingSecret }} leads to port {{ int . }}, which the network policy would not open; set {{ ternary "networkPolicy.redis.ports to the ports of the sentinels and of Redis" (printf "redis.port=%d" (int .)) $sentinel }}.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Kubernetes refuses another volume for a StatefulSet that is there, in words that name no value. */}}
{{- define "carillon.validate.redisVolume" -}}
{{- $wanted := .Values.redis.dev.persistence -}}
{{- $name := include "carillon.componentName" (dict "root" . "component" "redis") -}}
{{- $live := dict -}}
{{- if eq .Values.redis.mode "dev" -}}{{- $live = lookup "apps/v1" "StatefulSet" .Release.Namespace $name -}}{{- end -}}
{{- if $live -}}
{{- $has := dict "enabled" false "size" $wanted.size "storageClass" $wanted.storageClass -}}
{{- range dig "spec" "volumeClaimTemplates" list $live -}}
{{- $has = dict "enabled" true "size" (dig "spec" "resources" "requests" "storage" "" .) "storageClass" (dig "spec" "storageClassName" "" .) -}}
{{- end -}}
{{- range $key := list "enabled" "size" "storageClass" }}
{{- if and (or $wanted.enabled (eq $key "enabled")) (ne (toString (get $has $key)) (toString (get $wanted $key))) }}
redis.dev.persistence.{{ $key }} is {{ get $wanted $key }}, but the StatefulSet that runs has {{ get $has $key | toString | default "the default" }}, which cannot change; give up its data with `kubectl -n {{ $.Release.Namespace }} delete statefulset {{ $name }}` and upgrade again, or set the value back.
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "carillon.validate.redisLogins" -}}
{{- $redis := .Values.redis -}}
{{- $given := or $redis.auth.existingSecret $redis.auth.username $redis.auth.gateway.existingSecret $redis.auth.gateway.username $redis.auth.dispatcher.existingSecret $redis.auth.dispatcher.username }}
{{- if and (eq $redis.mode "dev") $given }}
redis.mode is dev, whose Redis has no users, but redis.auth names one; leave it empty.
{{- end }}
{{- if and $given (regexMatch "://[^/?@]*@" $redis.url) }}
redis.url holds a user, and redis.auth another log-in; leave it out of the URL.
{{- end }}
{{- if and (ne $redis.mode "sentinel") (or $redis.sentinel.auth.existingSecret $redis.sentinel.auth.username) }}
redis.sentinel.auth is set, but redis.mode is {{ $redis.mode }}; leave it empty, or use redis.auth.
{{- end }}
{{- range $path, $auth := dict "redis.auth" $redis.auth "redis.auth.gateway" $redis.auth.gateway "redis.auth.dispatcher" $redis.auth.dispatcher "redis.sentinel.auth" $redis.sentinel.auth }}
{{- if and $auth.username $auth.usernameKey }}
{{ $path }} has both username and usernameKey; keep the one that is meant.
{{- end }}
{{- if and $auth.usernameKey (not $auth.existingSecret) (not (and (has $path (list "redis.auth.gateway" "redis.auth.dispatcher")) $redis.auth.existingSecret)) }}
{{ $path }}.usernameKey is set, but {{ $path }}.existingSecret is not; name the Secret, or use username.
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.auth" -}}
{{- $auth := (.Values.config | default dict).auth | default dict -}}
{{- if not (or .Values.auth.existingSecret .Values.auth.issuers.existingSecret .Values.auth.apiKeys.existingSecret $auth.issuers $auth.api_keys) }}
auth.existingSecret is empty, so nobody could log in; name the Secrets with issuers and with API keys in auth.issuers.existingSecret and auth.apiKeys.existingSecret, or one with both (the chart's README shows how to make them).
{{- end }}
{{- range $auth.issuers }}
{{- if .secret }}
config.auth.issuers holds a secret, which everyone who reads the ConfigMap would see; put the issuer into the Secret that auth.issuers.existingSecret names.
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.config" -}}
{{- $config := .Values.config | default dict -}}
{{- range $path, $value := include "carillon.config.managed" . | fromYaml }}
{{- $parts := splitList "." $path }}
{{- $section := get $config (first $parts) | default dict }}
{{- if and (kindIs "map" $section) (hasKey $section (last $parts)) }}
config.{{ $path }} is managed by the chart; remove it and use {{ $value }}.
{{- end }}
{{- end }}
{{- range $name, $section := $config }}
{{- if and (eq $name "namespaces") (not (kindIs "slice" $section)) }}
config.namespaces is not a list; write it as a list of maps with prefix and kind.
{{- else if and (ne $name "namespaces") (not (kindIs "map" $section)) }}
config.{{ $name }} is not a section; write its settings below it, as in carillon.toml.
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.services" -}}
{{- $drain := include "carillon.drain" . | fromJson -}}
{{- range $component := list "gateway" "dispatcher" }}
{{- $service := index $.Values $component }}
{{- $of := dict "root" $ "component" $component }}
{{- $leaving := include "carillon.leaving" $of | int }}
{{- $grace := include "carillon.terminationGracePeriod" $of | int }}
{{- if lt $grace $leaving }}
{{ $component }}.terminationGracePeriodSeconds is {{ $grace }}, but leaving in order can take {{ $leaving }} s; raise it, shorten the drain, or leave it null to have it computed.
{{- end }}
{{- if $service.pdb.enabled }}
{{- $max := kindIs "invalid" $service.pdb.maxUnavailable }}
{{- $min := kindIs "invalid" $service.pdb.minAvailable }}
{{- if and (not $max) (not $min) }}
{{ $component }}.pdb has both maxUnavailable and minAvailable, which Kubernetes refuses; set the one that is not meant to null.
{{- else if and $max $min }}
{{ $component }}.pdb has neither maxUnavailable nor minAvailable; set one, or {{ $component }}.pdb.enabled=false.
{{- else if not $max }}
{{- if has (toString $service.pdb.maxUnavailable) (list "0" "0%") }}
{{ $component }}.pdb.maxUnavailable is {{ $service.pdb.maxUnavailable }}, so no node could ever be drained; raise it, or set {{ $component }}.pdb.enabled=false.
{{- end }}
{{- else }}
{{- $pods := ternary $service.autoscaling.minReplicas $service.replicas $service.autoscaling.enabled | int }}
{{- if and (gt $pods 0) (ge (include "carillon.podsOf" (dict "count" $service.pdb.minAvailable "replicas" $pods) | int) $pods) }}
{{ $component }}.pdb.minAvailable is {{ $service.pdb.minAvailable }} of {{ $pods }} pods, so no node could ever be drained; lower it, or use {{ $component }}.pdb.maxUnavailable.
{{- end }}
{{- end }}
{{- end }}
{{- if eq $service.strategy.type "RollingUpdate" }}
{{- $rolling := $service.strategy.rollingUpdate | default dict }}
{{- if and (has (toString $rolling.maxSurge) (list "0" "0%")) (has (toString $rolling.maxUnavailable) (list "0" "0%")) }}
{{ $component }}.strategy.rollingUpdate has maxSurge and maxUnavailable 0, so nothing could ever be replaced; raise one of them.
{{- end }}
{{- end }}
{{- if and (eq $service.service.ipFamilyPolicy "SingleStack") (gt (len ($service.service.ipFamilies | default list)) 1) }}
{{ $component }}.service.ipFamilyPolicy is SingleStack, but ipFamilies names two, which Kubernetes refuses; leave one of them, or set PreferDualStack.
{{- end }}
{{- if le (int $service.progressDeadlineSeconds) (int $service.minReadySeconds) }}
{{ $component }}.progressDeadlineSeconds ({{ $service.progressDeadlineSeconds }}) is not above minReadySeconds ({{ $service.minReadySeconds }}); raise the first or lower the second.
{{- end }}
{{- end }}
{{- if and (eq .Values.gateway.drain.profile "spot") (gt (int $drain.total) 30) }}
gateway.drain.profile is spot, but the drain takes {{ $drain.total }} s and such a machine is gone after 30 s; shorten gateway.drain.windowSeconds and the other times, or choose another profile.
{{- end }}
{{- end -}}

{{- define "carillon.validate.names" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $where, $labels := dict "commonLabels" .Values.commonLabels "gateway.podLabels" .Values.gateway.podLabels "dispatcher.podLabels" .Values.dispatcher.podLabels "redis.dev.podLabels" .Values.redis.dev.podLabels "tests.podLabels" .Values.tests.podLabels }}
{{- range $name, $_ := $labels }}
{{- if has $name $own }}
{{ $where }} sets {{ $name }}, which the chart sets itself; choose another label.
{{- end }}
{{- end }}
{{- end }}
{{- range $component := list "gateway" "dispatcher" }}
{{- range (index $.Values $component).extraVolumes }}
{{- if has .name (list "config" "auth" "redis" "redis-auth" "sentinel-auth" "redis-tls" "redis-cert") }}
{{ $component }}.extraVolumes has a volume named {{ .name }}, which is the chart's own; choose another name.
{{- end }}
{{- end }}
{{- end }}
{{- $gateway := include "carillon.serviceAccountName" (dict "root" . "component" "gateway") }}
{{- $dispatcher := include "carillon.serviceAccountName" (dict "root" . "component" "dispatcher") }}
{{- if and (eq $gateway $dispatcher) .Values.gateway.serviceAccount.create .Values.dispatcher.serviceAccount.create }}
gateway.serviceAccount.name and dispatcher.serviceAccount.name are the same; choose two, or let only one be created.
{{- end }}
{{- if and .Values.kubernetes.watch .Values.rbac.create (eq $dispatcher "default") }}
the dispatcher has no ServiceAccount of its own, so reading pods would be granted to every pod of the namespace that has none either; set dispatcher.serviceAccount.name or create, or rbac.create=false, or kubernetes.watch=false.
{{- end }}
{{- end -}}

{{- define "carillon.validate.images" -}}
{{- $images := dict "gateway.image" .Values.gateway.image "dispatcher.image" .Values.dispatcher.image "tests.image" .Values.tests.image "redis.dev.image" .Values.redis.dev.image -}}
{{- $versions := index .Chart.Annotations "carillon.io/app-versions" -}}
{{- range $path, $image := $images }}
{{- if and (eq $image.tag "latest") (not $image.digest) }}
{{ $path }}.tag is latest, which is another program tomorrow; name a version, or a digest.
{{- end }}
{{- $version := regexFind "^v?[0-9]+\\.[0-9]+\\.[0-9]+([-+].*)?$" $image.tag }}
{{- if and $version (ne $path "redis.dev.image") (not $.Values.disableVersionCheck) (not (semverCompare $versions $version)) }}
{{ $path }}.tag is {{ $version }}, but this chart configures {{ $versions }}; use the chart of that version, or set disableVersionCheck=true.
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.environment" -}}
{{- $managed := dict -}}
{{- range $path, $value := include "carillon.config.managed" . | fromYaml -}}
{{- $_ := set $managed (printf "CARILLON__%s" ($path | replace "." "__" | upper)) $value -}}
{{- end -}}
{{- $_ := set $managed "CARILLON_CONFIG" "config" -}}
{{- range $component := list "gateway" "dispatcher" }}
{{- $seen := dict }}
{{- range (index $.Values $component).extraEnv }}
{{- if hasKey $managed .name }}
{{ $component }}.extraEnv sets {{ .name }}, which is managed by the chart; remove it and use {{ get $managed .name }}.
{{- end }}
{{- if hasKey $seen .name }}
{{ $component }}.extraEnv has {{ .name }} twice, which server-side apply refuses; keep one.
{{- end }}
{{- $_ := set $seen .name true }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.autoscaling" -}}
{{- range $component := list "gateway" "dispatcher" }}
{{- $autoscaling := (index $.Values $component).autoscaling }}
{{- if $autoscaling.enabled }}
{{- if gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas) }}
{{ $component }}.autoscaling.minReplicas ({{ $autoscaling.minReplicas }}) is above maxReplicas ({{ $autoscaling.maxReplicas }}); lower the first or raise the second.
{{- end }}
{{- if not (or $autoscaling.connectionsPerPod $autoscaling.cpu $autoscaling.metrics) }}
{{ $component }}.autoscaling has nothing to go by; set {{ ternary "connectionsPerPod, " "" (eq $component "gateway") }}cpu or metrics.
{{- end }}
{{- if and $autoscaling.cpu (not (dig "requests" "cpu" "" ((index $.Values $component).resources | default dict))) }}
{{ $component }}.autoscaling.cpu is a part of the CPU request, and there is none; set {{ $component }}.resources.requests.cpu, or cpu to 0.
{{- end }}
{{- if and (eq ($autoscaling.provider | default "") "keda") $autoscaling.connectionsPerPod (not $autoscaling.keda.serverAddress) }}
gateway.autoscaling.keda.serverAddress is empty; set the address of Prometheus, or connectionsPerPod to 0.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.routes" -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) (not .Values.gatewayApi.create) }}
httpRoute.enabled, but the routes belong to no Gateway; set httpRoute.parentRefs, or gatewayApi.create=true.
{{- end }}
{{- if and .Values.gatewayApi.create (not .Values.gatewayApi.className) }}
gatewayApi.create, but gatewayApi.className is empty; name the GatewayClass of your controller (kubectl get gatewayclass).
{{- end }}
{{- if and .Values.gatewayApi.create (hasPrefix "gke-" .Values.gatewayApi.className) (or .Values.httpRoute.gateway.timeouts .Values.httpRoute.dispatcher.timeouts) }}
httpRoute timeouts are set, but GKE refuses routes with timeouts; leave them {} and set timeoutSec in a GCPBackendPolicy.
{{- end }}
{{- end -}}

{{- define "carillon.validate.apis" -}}
{{- $wanted := list
      (list "httpRoute.enabled" .Values.httpRoute.enabled "gateway.networking.k8s.io/v1")
      (list "gatewayApi.create" .Values.gatewayApi.create "gateway.networking.k8s.io/v1")
      (list "metrics.podMonitor.enabled" .Values.metrics.podMonitor.enabled "monitoring.coreos.com/v1")
      (list "metrics.prometheusRule.enabled" .Values.metrics.prometheusRule.enabled "monitoring.coreos.com/v1")
      (list "gateway.autoscaling.provider=keda" (and .Values.gateway.autoscaling.enabled (eq .Values.gateway.autoscaling.provider "keda")) "keda.sh/v1alpha1")
      (list "networkPolicy.flavor=cilium" (and .Values.networkPolicy.enabled (eq .Values.networkPolicy.flavor "cilium")) "cilium.io/v2") -}}
{{- range $wanted }}
{{- $api := index . 2 }}
{{- if and (index . 1) (not $.Values.disableAPICheck) (not ($.Capabilities.APIVersions.Has $api)) }}
{{ index . 0 }} needs the API {{ $api }}, which the cluster does not have; install its CustomResourceDefinitions first, or set disableAPICheck=true where no cluster is asked (helm template).
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.objects" -}}
{{- range .Values.extraObjects }}
{{- if kindIs "map" . }}
{{- if and (has .kind (list "Service" "Ingress" "HTTPRoute")) (regexMatch `"(port|number|targetPort|name)":("admin"|9090)[,}]` (toJson (omit . "metadata"))) }}
extraObjects has a {{ .kind }} for the admin port, which is open to whoever reaches it; leave the admin port out, PodMonitor reads it without a Service.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.validate.dependency" -}}
{{- if not .Values.enabled }}
enabled is false, which is for charts that depend on this one; let `condition` name it there, or leave it true.
{{- end }}
{{- end -}}
