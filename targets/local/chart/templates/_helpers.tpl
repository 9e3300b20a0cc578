{{- define "cedana.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "cedana.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cedana.labels" -}}
helm.sh/chart: {{ include "cedana.chart" . }}
{{ include "cedana.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The labels of Cedana's own ConfigMap and Secret. */}}
{{- define "cedana.oldLabels" -}}
app: {{ .Values.fullnameOverride }}
chart: {{ include "cedana.chart" . }}
release: {{ .Release.Name }}
heritage: {{ .Release.Service }}
{{ include "cedana.labels" . }}
{{- end -}}

{{- define "cedana.secretName" -}}
{{- .Values.config.preExistingSecret | default "cedana-secrets" -}}
{{- end -}}

{{/* An image reference; a digest beats a tag. Call with the image's values and the name of their key. */}}
{{- define "cedana.image" -}}
{{- $image := index . 0 -}}{{- $key := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ required (printf "%s.tag or %s.digest is required" $key $key) $image.tag }}
{{- end -}}
{{- end -}}

{{- define "cedana.port" -}}
{{- regexFind "[0-9]+$" .Values.config.address | required "config.address must be host:port" -}}
{{- end -}}

{{/* Where on the node the kubelet asks for the helper's health: of all addresses, the loopback one. */}}
{{- define "cedana.host" -}}
{{- regexReplaceAll "^(0\\.0\\.0\\.0)?$" (regexReplaceAll ":[0-9]+$" .Values.config.address "") "127.0.0.1" -}}
{{- end -}}

{{/* What both parts get from ConfigMap and Secret. */}}
{{- define "cedana.env" -}}
- name: CEDANA_URL
  valueFrom: {configMapKeyRef: {name: cedana-config, key: url}}
- name: CEDANA_CLUSTER_ID
  valueFrom: {configMapKeyRef: {name: cedana-config, key: cluster-id}}
- name: CEDANA_LOG_LEVEL
  valueFrom: {configMapKeyRef: {name: cedana-config, key: log-level}}
- name: CEDANA_RESTORE_TIMEOUT
  valueFrom: {configMapKeyRef: {name: cedana-config, key: restore-timeout}}
- name: E2E_TIMEOUT_SCALE
  valueFrom: {configMapKeyRef: {name: cedana-config, key: timeout-scale}}
- name: CEDANA_AUTH_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "cedana.secretName" . }}, key: auth-token}}
{{- if .Values.config.caCertificate }}
- name: SSL_CERT_FILE
  value: /etc/cedana/ca.crt
{{- end }}
{{- end -}}

{{- define "cedana.caMount" -}}
- name: ca
  mountPath: /etc/cedana
  readOnly: true
{{- end -}}

{{- define "cedana.caVolume" -}}
- name: ca
  configMap:
    name: cedana-config
    items: [{key: ca.crt, path: ca.crt}]
{{- end -}}

{{/* Pods restart when what they read at their start has changed; without it an upgrade would do nothing. */}}
{{- define "cedana.checksum" -}}
{{- printf "%s\n%s" (include (print $.Template.BasePath "/configmap.yaml") .) (include (print $.Template.BasePath "/secret.yaml") .) | sha256sum -}}
{{- end -}}
