{{/* A Deployment. Takes a dict: root, component, port, number. */}}
{{- define "carillon.deployment" -}}
{{- $service := index .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "carillon.metadata" . | nindent 2 }}
spec:
  {{- with include "carillon.replicas" . }}
  replicas: {{ . }}
  {{- end }}
  minReadySeconds: {{ $service.minReadySeconds }}
  progressDeadlineSeconds: {{ $service.progressDeadlineSeconds }}
  revisionHistoryLimit: {{ $service.revisionHistoryLimit }}
  strategy:
    type: {{ $service.strategy.type }}
    {{- if eq $service.strategy.type "RollingUpdate" }}
    rollingUpdate:
      {{- toYaml $service.strategy.rollingUpdate | nindent 6 }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "carillon.selectorLabels" . | nindent 6 }}
  template:
    {{- include "carillon.pod" . | nindent 4 }}
{{- end -}}

{{/*
How many pods; nothing where the number belongs to an autoscaler: whoever applies it too takes it back. But to
leave it out where it stood makes it 1, so in a release that runs it is what runs, unless server-side apply knows
that the autoscaler has set it. Takes a dict: root, component.
*/}}
{{- define "carillon.replicas" -}}
{{- $service := index .root.Values .component -}}
{{- if not $service.autoscaling.enabled -}}
{{- $service.replicas -}}
{{- else -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace (include "carillon.componentName" .) -}}
{{- if $live -}}
{{- $applied := false -}}
{{- $owned := false -}}
{{- range $manager := dig "metadata" "managedFields" list $live -}}
{{- if and (eq $manager.operation "Apply") (not (get $manager "subresource")) -}}
{{- $applied = true -}}
{{- if hasKey (dig "fieldsV1" "f:spec" dict $manager) "f:replicas" -}}{{- $owned = true -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if or $owned (not $applied) -}}{{- dig "spec" "replicas" "" $live -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A Service of the public port: the admin port is in none. Takes a dict: root, component, port. */}}
{{- define "carillon.service" -}}
{{- $service := (index .root.Values .component).service -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "carillon.metadata" (merge (dict "annotations" $service.annotations) .) | nindent 2 }}
spec:
  type: {{ $service.type }}
  {{- range $key := list "loadBalancerClass" "externalTrafficPolicy" "internalTrafficPolicy" "trafficDistribution" "ipFamilyPolicy" }}
  {{- with index $service $key }}
  {{ $key }}: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- with $service.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    {{- include "carillon.selectorLabels" . | nindent 4 }}
  ports:
    - name: {{ .port }}
      port: {{ $service.port }}
      targetPort: {{ .port }}
      protocol: TCP
      {{- with $service.appProtocol }}
      appProtocol: {{ . | quote }}
      {{- end }}
      {{- with $service.nodePort }}
      nodePort: {{ . }}
      {{- end }}
{{- end -}}

{{- define "carillon.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- $account := (index .root.Values .component).serviceAccount }}
  {{- include "carillon.metadata" (merge (dict "name" (include "carillon.serviceAccountName" .) "annotations" $account.annotations) .) | nindent 2 }}
# The pod says itself whether it wants a token.
automountServiceAccountToken: false
{{- end -}}

{{- define "carillon.pdb" -}}
{{- $pdb := (index .root.Values .component).pdb -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "carillon.metadata" . | nindent 2 }}
spec:
  {{- if kindIs "invalid" $pdb.minAvailable }}
  maxUnavailable: {{ $pdb.maxUnavailable }}
  {{- else }}
  minAvailable: {{ $pdb.minAvailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ $pdb.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- include "carillon.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/* A HorizontalPodAutoscaler. Takes a dict: root, component, connections (a target, 0 for none). */}}
{{- define "carillon.hpa" -}}
{{- $autoscaling := (index .root.Values .component).autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "carillon.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "carillon.componentName" . }}
  minReplicas: {{ $autoscaling.minReplicas }}
  maxReplicas: {{ $autoscaling.maxReplicas }}
  {{- with $autoscaling.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  metrics:
    {{- if .connections }}
    - type: Pods
      pods:
        metric: {name: {{ $autoscaling.connectionsMetric | quote }}}
        target: {type: AverageValue, averageValue: {{ .connections | quote }}}
    {{- end }}
    {{- with $autoscaling.cpu }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
    {{- with $autoscaling.metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
