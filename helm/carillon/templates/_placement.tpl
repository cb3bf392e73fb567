{{/* Where pods run and as whom: those of the services say it themselves, the others inherit it. */}}

{{/* Other charts that share `global` name them alone. */}}
{{- define "carillon.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The security context of a pod. Takes a dict: root, context. */}}
{{- define "carillon.podSecurityContext" -}}
{{- $context := .context | default dict -}}
{{- $platform := .root.Values.userFromPlatform -}}
{{- if or (eq (toString $platform) "true") (and (eq (toString $platform) "auto") (.root.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/*
What the specification of a pod says that is none of a service's: its own values, or the gateways'. Takes a
dict: root, own.
*/}}
{{- define "carillon.placed" -}}
{{- $gateway := .root.Values.gateway -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "carillon.pullSecrets" .root }}
{{ . }}
{{- end }}
{{- $context := .own.podSecurityContext }}
{{- if kindIs "invalid" $context }}{{ $context = $gateway.podSecurityContext }}{{ end }}
securityContext:
  {{- include "carillon.podSecurityContext" (dict "root" .root "context" $context) | nindent 2 }}
{{- $affinity := .own.affinity }}
{{- if kindIs "invalid" $affinity }}
{{- /* What keeps gateways apart would keep it away from them, too. */}}
{{- $affinity = pick ($gateway.affinity | default dict) "nodeAffinity" }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "priorityClassName" "runtimeClassName" }}
{{- $value := index $.own $key }}
{{- if kindIs "invalid" $value }}{{ $value = index $gateway $key }}{{ end }}
{{- if $value }}
{{ dict $key $value | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The security context of its container. Takes a dict: root, own. */}}
{{- define "carillon.placed.container" -}}
{{- if kindIs "invalid" .own.securityContext -}}
{{- toYaml .root.Values.gateway.securityContext -}}
{{- else -}}
{{- toYaml .own.securityContext -}}
{{- end -}}
{{- end -}}
