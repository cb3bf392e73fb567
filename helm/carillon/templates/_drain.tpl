{{/* How a gateway leaves, in seconds: delay, window, grace, margin, total. JSON. */}}
{{- define "carillon.drain" -}}
{{- $profiles := dict
      "default" (dict "delay" 15 "window" 120 "grace" 5 "margin" 30)
      "serviceMesh" (dict "delay" 15 "window" 120 "grace" 5 "margin" 30)
      "awsNlbIp" (dict "delay" 190 "window" 120 "grace" 5 "margin" 30)
      "spot" (dict "delay" 0 "window" 15 "grace" 2 "margin" 8) -}}
{{- $drain := .Values.gateway.drain -}}
{{- $chosen := get $profiles $drain.profile -}}
{{- range $key, $value := dict "delay" $drain.readinessDelaySeconds "window" $drain.windowSeconds "grace" $drain.closeGraceSeconds -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $chosen $key (int $value) -}}{{- end -}}
{{- end -}}
{{- $_ := set $chosen "total" (add $chosen.delay $chosen.window $chosen.grace $chosen.margin) -}}
{{- toJson $chosen -}}
{{- end -}}

{{/* Seconds of preStop. Takes a dict: root, component. */}}
{{- define "carillon.preStop" -}}
{{- $own := (index .root.Values .component).drain.readinessDelaySeconds -}}
{{- if kindIs "invalid" $own -}}
{{- (include "carillon.drain" .root | fromJson).delay | int -}}
{{- else -}}
{{- int $own -}}
{{- end -}}
{{- end -}}

{{/* Seconds that a pod needs to leave in order. Takes a dict: root, component. */}}
{{- define "carillon.leaving" -}}
{{- $drain := include "carillon.drain" .root | fromJson -}}
{{- if eq .component "gateway" -}}
{{- int $drain.total -}}
{{- else -}}
{{- add (include "carillon.preStop" . | int) (int .root.Values.dispatcher.requestTimeoutSeconds) (int $drain.margin) -}}
{{- end -}}
{{- end -}}

{{- define "carillon.terminationGracePeriod" -}}
{{- $own := (index .root.Values .component).terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $own -}}{{- include "carillon.leaving" . -}}{{- else -}}{{- int $own -}}{{- end -}}
{{- end -}}

{{/*
What a rollout of the gateways asks of the cluster and of clients. JSON: surge (pods at once), rounds,
draining (pods that drain at once, at most), reconnects (a second, at most), wait (seconds for `--wait`).
A pod is taken to be ready 10 s after its creation. The Deployment does not wait for pods that leave,
so with a small surge and a small minReadySeconds several drain at once.
*/}}
{{- define "carillon.rollout" -}}
{{- $gateway := .Values.gateway -}}
{{- $replicas := int (ternary $gateway.autoscaling.maxReplicas $gateway.replicas $gateway.autoscaling.enabled) | max 1 -}}
{{- $rolling := $gateway.strategy.rollingUpdate | default dict -}}
{{- $surge := include "carillon.podsOf" (dict "count" $rolling.maxSurge "replicas" $replicas) | int -}}
{{- $unavailable := include "carillon.podsOf" (dict "count" $rolling.maxUnavailable "replicas" $replicas) | int -}}
{{- $step := min $replicas (max 1 (add $surge $unavailable)) | int -}}
{{- if eq $gateway.strategy.type "Recreate" -}}{{- $step = $replicas -}}{{- end -}}
{{- $rounds := div (add $replicas $step -1) $step -}}
{{- $drain := include "carillon.drain" . | fromJson -}}
{{- $leaving := add (int $drain.delay) (int $drain.window) (int $drain.grace) -}}
{{- $ready := add 10 (int $gateway.minReadySeconds) -}}
{{- $draining := min $replicas (mul $step (div (add $leaving $ready -1) $ready)) -}}
{{- $most := 20000 -}}
{{- if not (kindIs "string" $gateway.maxConnections) -}}{{- $most = int $gateway.maxConnections -}}{{- end -}}
{{- $reconnects := div (mul $draining $most) (max 1 (int $drain.window)) -}}
{{- dict "replicas" $replicas "surge" $step "rounds" $rounds "draining" $draining "most" $most
      "reconnects" $reconnects "wait" (add (mul $rounds $ready) $drain.total) | toJson -}}
{{- end -}}

{{/* A number of pods that may be a percentage, rounded up. Takes a dict: count, replicas. */}}
{{- define "carillon.podsOf" -}}
{{- if kindIs "string" .count -}}
{{- $percent := trimSuffix "%" .count | int -}}
{{- div (add (mul .replicas $percent) 99) 100 -}}
{{- else -}}
{{- int .count -}}
{{- end -}}
{{- end -}}
