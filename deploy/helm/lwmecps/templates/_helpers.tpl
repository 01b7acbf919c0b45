{{/* Labels of all pods of this release, which selectors name too. */}}
{{- define "lwmecps.all" -}}
app.kubernetes.io/name: lwmecps
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of one component: (list $ "env"). */}}
{{- define "lwmecps.labels" -}}
{{ include "lwmecps.all" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "lwmecps.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "lwmecps.secret" -}}
{{ .Values.secrets.existingSecret | default .Release.Name }}
{{- end }}

{{/* How to ask whether a service is well, by gRPC, or, because the kubelet's gRPC probes know no TLS, by HTTP at the
metrics server, which starts after the gRPC server and ends after it: (list tlsSecret port). */}}
{{- define "lwmecps.ask" -}}
{{- if index . 0 -}}
httpGet:
  port: metrics
  path: /metrics
{{- else -}}
grpc:
  port: {{ index . 1 }}
{{- end }}
{{- end }}

{{/* The first start compiles the simulator's loops, and the registry's migrates the database: (list tlsSecret port). */}}
{{- define "lwmecps.probes" -}}
startupProbe:
  {{- include "lwmecps.ask" . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  {{- include "lwmecps.ask" . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  {{- include "lwmecps.ask" . | nindent 2 }}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Something where the services listen without TLS, which must be asked for. */}}
{{- define "lwmecps.insecure" -}}
{{- if not .Values.tls.existingSecret }}
{{- if not .Values.tls.insecure }}{{ fail "set tls.existingSecret, or tls.insecure=true to go without TLS" }}{{ end -}}
true
{{- end }}
{{- end }}
