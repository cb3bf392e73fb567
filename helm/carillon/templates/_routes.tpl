{{/* Routes to the public ports. */}}

{{/* The path prefixes of a service. Takes a dict: root, component, paths. JSON: {"paths": […]}. */}}
{{- define "carillon.paths" -}}
{{- $paths := .paths | default list -}}
{{- if eq .component "gateway" -}}{{- $paths = prepend $paths .root.Values.gateway.path | uniq -}}{{- end -}}
{{- dict "paths" $paths | toJson -}}
{{- end -}}

{{/* Takes a dict: root, component. */}}
{{- define "carillon.httpRoute" -}}
{{- $route := .root.Values.httpRoute -}}
{{- $own := index $route .component -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "carillon.metadata" (merge (dict "annotations" $route.annotations) .) | nindent 2 }}
spec:
  parentRefs:
    {{- if .root.Values.gatewayApi.create }}
    - name: {{ include "carillon.fullname" .root }}
    {{- end }}
    {{- with $route.parentRefs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $route.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - matches:
        {{- range (include "carillon.paths" (merge (dict "paths" $own.paths) .) | fromJson).paths }}
        - path: {type: PathPrefix, value: {{ . | quote }}}
        {{- end }}
      {{- with $own.filters }}
      filters:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.timeouts }}
      timeouts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      backendRefs:
        - name: {{ include "carillon.componentName" . }}
          port: {{ (index .root.Values .component).service.port }}
{{- end -}}

{{/* Takes a dict: root, component, port. */}}
{{- define "carillon.ingress" -}}
{{- $ingress := .root.Values.ingress -}}
{{- $own := index $ingress .component -}}
{{- $paths := (include "carillon.paths" (merge (dict "paths" $own.paths) .) | fromJson).paths -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "carillon.metadata" (merge (dict "annotations" (merge (dict) ($own.annotations | default dict) ($ingress.annotations | default dict))) .) | nindent 2 }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with $ingress.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range $host := $ingress.hosts | default (list "") }}
    - http:
        paths:
          {{- range $paths }}
          - path: {{ . | quote }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "carillon.componentName" $ }}
                port: {name: {{ $.port }}}
          {{- end }}
      {{- with $host }}
      host: {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end -}}
