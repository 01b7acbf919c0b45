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
metrics server, which starts after the gRPC server and ends after it: (list tlsSecret port service), where the empty
service is the process itself. */}}
{{- define "lwmecps.ask" -}}
{{- if index . 0 -}}
httpGet:
  port: metrics
  path: /health{{ with index . 2 }}/{{ . }}{{ end }}
{{- else -}}
grpc:
  port: {{ index . 1 }}
  {{- with index . 2 }}
  service: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The first start compiles the simulator's loops, and the registry's migrates the database. Ready is a service that has
all that it depends on; one that lacks something lives on, for a restart would not help: (list tlsSecret port service). */}}
{{- define "lwmecps.probes" -}}
{{- $alive := list (index . 0) (index . 1) "" -}}
startupProbe:
  {{- include "lwmecps.ask" $alive | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  {{- include "lwmecps.ask" . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  {{- include "lwmecps.ask" $alive | nindent 2 }}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Where a component's pods may run, and what pulls their images; its own values, else those of all: (list $ "env"). */}}
{{- define "lwmecps.placing" -}}
{{- $all := (index . 0).Values -}}
{{- $own := index $all (index . 1) -}}
{{- with $all.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with (index $own $key) | default (index $all $key) }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Annotations of a component's pods, besides ours: those of all, and its own, which win: (list $ "env"). */}}
{{- define "lwmecps.annotations" -}}
{{- $all := (index . 0).Values -}}
{{- with merge (dict) (index $all (index . 1)).podAnnotations $all.podAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Variables of a service besides ours, in the form of a container's `env`: (list $ "env"). */}}
{{- define "lwmecps.extraEnv" -}}
{{- $all := (index . 0).Values -}}
{{- with concat $all.extraEnv (index $all (index . 1)).extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The storage class of a volume; none named: the cluster's default: (list $ "redis"). */}}
{{- define "lwmecps.storageClass" -}}
{{- $all := (index . 0).Values -}}
{{- with (index $all (index . 1)).storageClass | default $all.storageClass }}
storageClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Where Redis is: our own, or the one of redis.external. */}}
{{- define "lwmecps.redisUrl" -}}
{{- with .Values.redis.external -}}
{{- if .host -}}
{{ ternary "rediss" "redis" .tls }}://{{ .username }}:$(REDIS_PASSWORD)@{{ .host }}:{{ .port }}/{{ .database }}{{ with .options }}?{{ . }}{{ end }}
{{- else -}}
redis://:$(REDIS_PASSWORD)@{{ $.Release.Name }}-redis:6379/0
{{- end }}
{{- end }}
{{- end }}

{{/* Where PostgreSQL is: our own, or the one of postgres.external. */}}
{{- define "lwmecps.databaseUrl" -}}
{{- with .Values.postgres.external -}}
{{- if .host -}}
postgresql+psycopg://{{ .user }}@{{ .host }}:{{ .port }}/{{ .database }}?sslmode={{ .sslmode }}
{{- else -}}
postgresql+psycopg://lwmecps@{{ $.Release.Name }}-postgres:5432/lwmecps
{{- end }}
{{- end }}
{{- end }}

{{/* Something where the services listen without TLS, which must be asked for. */}}
{{- define "lwmecps.insecure" -}}
{{- if not .Values.tls.existingSecret }}
{{- if not .Values.tls.insecure }}{{ fail "set tls.existingSecret, or tls.insecure=true to go without TLS" }}{{ end -}}
true
{{- end }}
{{- end }}
