{{/*
Network policies of both flavors. A rule is a dict: peers (empty: whom `all` says), all ("any",
"kube-apiserver" or "nodes", which Cilium tells apart), ports (of TCP), udp (true: the same of UDP). Functions return {"rules": […]} as JSON.
*/}}

{{- define "carillon.policy.peer" -}}
{{- $labels := include "carillon.selectorLabels" . | fromYaml -}}
{{- if eq .root.Values.networkPolicy.flavor "cilium" -}}
{{- dict "matchLabels" $labels | toJson -}}
{{- else -}}
{{- dict "podSelector" (dict "matchLabels" $labels) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Who may come in. Takes a dict: root, component, number (of the public port). */}}
{{- define "carillon.policy.ingress" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $clients := (index $policy .component).ingressFrom | default $policy.ingressFrom -}}
{{- /* `helm test` stays possible where clients are named. */ -}}
{{- if and $clients .root.Values.tests.existingSecret -}}
{{- $clients = append $clients (include "carillon.policy.peer" (dict "root" .root "component" "test") | fromJson) -}}
{{- end -}}
{{- /* So does the canary. */ -}}
{{- if and $clients (eq .component "gateway") .root.Values.canary.existingSecret -}}
{{- $clients = append $clients (include "carillon.policy.peer" (dict "root" .root "component" "dispatcher") | fromJson) -}}
{{- end -}}
{{- $rules := list (dict "peers" $clients "all" "any" "ports" (list .number)) -}}
{{- $scrapers := $policy.metricsFrom -}}
{{- if $policy.metricsFromNodes -}}
{{- /* To Cilium a node is no address but an entity. */ -}}
{{- if eq $policy.flavor "cilium" -}}
{{- $rules = append $rules (dict "all" "nodes" "ports" (list 9090)) -}}
{{- else -}}
{{- range $policy.metricsFromNodes -}}{{- $scrapers = append $scrapers (dict "ipBlock" (dict "cidr" .)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $scrapers -}}{{- $rules = append $rules (dict "peers" $scrapers "ports" (list 9090)) -}}{{- end -}}
{{- dict "rules" $rules | toJson -}}
{{- end -}}

{{/* Where the services go. Takes a dict: root, component. */}}
{{- define "carillon.policy.egress" -}}
{{- $root := .root -}}
{{- $policy := $root.Values.networkPolicy -}}
{{- $rules := list (dict "peers" $policy.dns.to "all" "any" "ports" $policy.dns.ports "udp" true) -}}
{{- if eq $root.Values.redis.mode "dev" -}}
{{- $redis := include "carillon.policy.peer" (dict "root" $root "component" "redis") | fromJson -}}
{{- $rules = append $rules (dict "peers" (list $redis) "ports" (list 6379)) -}}
{{- else -}}
{{- $rules = append $rules (dict "peers" $policy.redis.to "all" "any" "ports" (include "carillon.redis.ports" $root | fromJson).ports) -}}
{{- end -}}
{{- if or $policy.otlp.enabled $root.Values.tracing.endpoint -}}
{{- $rules = append $rules (dict "peers" $policy.otlp.to "all" "any" "ports" $policy.otlp.ports) -}}
{{- end -}}
{{- if and (eq .component "dispatcher") $root.Values.canary.existingSecret -}}
{{- $gateway := include "carillon.policy.peer" (dict "root" $root "component" "gateway") | fromJson -}}
{{- $rules = append $rules (dict "peers" (list $gateway) "ports" (list 8080)) -}}
{{- end -}}
{{- if and (eq .component "dispatcher") $root.Values.kubernetes.watch -}}
{{- $rules = append $rules (dict "peers" $policy.apiServer.to "all" "kube-apiserver" "ports" $policy.apiServer.ports) -}}
{{- end -}}
{{- dict "rules" $rules | toJson -}}
{{- end -}}

{{/* A policy. Takes a dict: root, component, ingress, egress (rules), extraIngress, extraEgress; annotations. */}}
{{- define "carillon.policy" -}}
{{- $cilium := eq .root.Values.networkPolicy.flavor "cilium" -}}
{{- if $cilium -}}
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
{{- else -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
{{- end }}
metadata:
  {{- include "carillon.metadata" . | nindent 2 }}
spec:
  {{ ternary "endpointSelector" "podSelector" $cilium }}:
    matchLabels:
      {{- include "carillon.selectorLabels" . | nindent 6 }}
  {{- if not $cilium }}
  policyTypes: [Ingress, Egress]
  {{- end }}
  {{- $render := ternary "carillon.policy.ciliumRule" "carillon.policy.rule" $cilium }}
  {{- range $direction := list "ingress" "egress" }}
  {{- $rules := list }}
  {{- range index $ $direction }}
  {{- $rules = append $rules (include $render (merge (dict "direction" $direction) .) | fromJson) }}
  {{- end }}
  {{- $rules = concat $rules (index $ (printf "extra%s" (title $direction)) | default list) }}
  {{- /* Without a rule nothing passes: policyTypes says so, and to Cilium an empty rule. */}}
  {{- if and $cilium (not $rules) }}
  {{- $rules = list dict }}
  {{- end }}
  {{- with $rules }}
  {{ $direction }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "carillon.policy.rule" -}}
{{- $ports := list -}}
{{- range $port := .ports -}}
{{- if $.udp -}}{{- $ports = append $ports (dict "port" (int $port) "protocol" "UDP") -}}{{- end -}}
{{- $ports = append $ports (dict "port" (int $port) "protocol" "TCP") -}}
{{- end -}}
{{- $rule := dict "ports" $ports -}}
{{- if .peers -}}{{- $_ := set $rule (ternary "from" "to" (eq .direction "ingress")) .peers -}}{{- end -}}
{{- toJson $rule -}}
{{- end -}}

{{- define "carillon.policy.ciliumRule" -}}
{{- $ports := list -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "port" (toString .) "protocol" (ternary "ANY" "TCP" ($.udp | default false))) -}}
{{- end -}}
{{- $rule := dict "toPorts" (list (dict "ports" $ports)) -}}
{{- $side := ternary "from" "to" (eq .direction "ingress") -}}
{{- if .peers -}}
{{- $_ := set $rule (printf "%sEndpoints" $side) .peers -}}
{{- else -}}
{{- $_ := set $rule (printf "%sEntities" $side) (get (dict "any" (list "all") "nodes" (list "host" "remote-node") "kube-apiserver" (list "kube-apiserver")) .all) -}}
{{- end -}}
{{- toJson $rule -}}
{{- end -}}
