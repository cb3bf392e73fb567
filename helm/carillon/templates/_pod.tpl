{{/* The pod template of a service. Takes a dict: root, component, port (its name), number. */}}
{{- define "carillon.pod" -}}
{{- $root := .root -}}
{{- $service := index $root.Values .component -}}
metadata:
  labels:
    {{- merge (dict) ($service.podLabels | default dict) (include "carillon.podLabels" . | fromYaml) | toYaml | nindent 4 }}
  {{- with merge (dict) ($service.podAnnotations | default dict) ($root.Values.commonAnnotations | default dict) (include "carillon.meshAnnotations" . | fromYaml) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "carillon.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ and (eq .component "dispatcher") $root.Values.kubernetes.watch }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "carillon.terminationGracePeriod" . }}
  {{- with include "carillon.pullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "carillon.podSecurityContext" (dict "root" $root "context" $service.podSecurityContext) | nindent 4 }}
    {{- with $service.sysctls }}
    sysctls:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
  {{- with index $service $key }}
  {{ $key }}: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- range $key := list "hostAliases" "dnsConfig" "nodeSelector" "affinity" "tolerations" "initContainers" }}
  {{- with index $service $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $service.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $selector := dict "matchLabels" (include "carillon.selectorLabels" $ | fromYaml) }}
    {{- range . }}
    {{- list (merge (dict) . (dict "labelSelector" $selector)) | toYaml | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "carillon.image" (dict "root" $root "image" $service.image) }}
      imagePullPolicy: {{ $service.image.pullPolicy }}
      securityContext:
        {{- toYaml $service.securityContext | nindent 8 }}
      {{- include "carillon.environment" . | nindent 6 }}
      ports:
        - {name: {{ .port }}, containerPort: {{ .number }}, protocol: TCP}
        - {name: admin, containerPort: 9090, protocol: TCP}
      {{- range $probe, $path := dict "startup" "/startupz" "readiness" "/readyz" "liveness" "/livez" }}
      {{- with index $service.probes $probe }}
      {{ $probe }}Probe:
        {{- if not (or .exec .tcpSocket .grpc .httpGet) }}
        httpGet: {path: {{ $path }}, port: admin}
        {{- end }}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- /* A sleep of 0 is refused before Kubernetes 1.33, and means nothing. */}}
      {{- with include "carillon.preStop" . | int }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ . }}}
      {{- end }}
      {{- with $service.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "carillon.volumeMounts" . | nindent 8 }}
    {{- with $service.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "carillon.volumes" . | nindent 4 }}
    {{- with $service.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The Secrets that are mounted beside those of tokens and keys. Takes a dict: root, component. */}}
{{- define "carillon.mounts" -}}
{{- $mounts := concat (include "carillon.redis.mounts" . | fromJson).mounts (include "carillon.tracing.mounts" .root | fromJson).mounts -}}
{{- with .root.Values.canary -}}
{{- if and (eq $.component "dispatcher") .existingSecret -}}
{{- $mounts = append $mounts (dict "name" "canary" "secret" .existingSecret
      "items" (list (dict "key" .key "path" "token"))) -}}
{{- end -}}
{{- end -}}
{{- dict "mounts" $mounts | toJson -}}
{{- end -}}

{{/* Where a service's program finds its configuration, log-ins and certificates. Takes a dict: root, component. */}}
{{- define "carillon.volumeMounts" -}}
- {name: config, mountPath: /etc/carillon/config, readOnly: true}
{{- if include "carillon.authSecret" . }}
- {name: auth, mountPath: /etc/carillon/auth, readOnly: true}
{{- end }}
{{- range (include "carillon.mounts" . | fromJson).mounts }}
- {name: {{ .name }}, mountPath: /etc/carillon/{{ .name }}, readOnly: true}
{{- end }}
{{- with (index .root.Values .component).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What the chart mounts there. 288 is 0440: the group of the pod reads its secrets, nobody else. */}}
{{- define "carillon.volumes" -}}
- name: config
  configMap:
    name: {{ include "carillon.configMapName" . }}
{{- with include "carillon.authSecret" . }}
- name: auth
  secret:
    secretName: {{ . | quote }}
    defaultMode: 288
{{- end }}
{{- range (include "carillon.mounts" . | fromJson).mounts }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 288
    items:
      {{- toYaml .items | nindent 6 }}
{{- end }}
{{- end -}}

{{/* The variables of a service's container. Takes a dict: root, component. */}}
{{- define "carillon.environment" -}}
{{- $service := index .root.Values .component -}}
env:
  {{- include "carillon.env" . | nindent 2 }}
  {{- with $service.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $service.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* With the drain profile serviceMesh the sidecars stay until the last connection has been closed (Istio, Linkerd). */}}
{{- define "carillon.meshAnnotations" -}}
{{- if and (eq .component "gateway") (eq .root.Values.gateway.drain.profile "serviceMesh") -}}
proxy.istio.io/config: |
  holdApplicationUntilProxyStarts: true
  terminationDrainDuration: {{ include "carillon.terminationGracePeriod" . }}s
config.alpha.linkerd.io/proxy-wait-before-exit-seconds: {{ include "carillon.terminationGracePeriod" . | quote }}
{{- end -}}
{{- end -}}

{{/* The variables that the chart sets. */}}
{{- define "carillon.env" -}}
- {name: CARILLON_CONFIG, value: /etc/carillon/config/carillon.toml}
- {name: CARILLON__KUBERNETES__POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: CARILLON__KUBERNETES__NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
{{- with concat (include "carillon.redis.env" . | fromJson).env (include "carillon.tracing.env" .root | fromJson).env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
