{{- define "vicuna.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vicuna.selector" -}}
app.kubernetes.io/name: vicuna-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object of the chart; of worker and serving pods `managed-by` says vicuna-operator, of these the release's tool. */}}
{{- define "vicuna.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: vicuna-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vicuna
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "vicuna.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "vicuna.fullname" .) -}}
{{- end -}}

{{/* An image by its name: what the values say, or the registry's of the chart's version. */}}
{{- define "vicuna.image" -}}
{{- $images := .root.Values.images -}}
{{- get $images .name | default (printf "%s/%s:%s" $images.registry .name ($images.tag | default .root.Chart.AppVersion)) -}}
{{- end -}}

{{/* What Pod Security Standards call "restricted". */}}
{{- define "vicuna.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "vicuna.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
