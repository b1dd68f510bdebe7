{{/* Names and labels. */}}

{{- define "milvus-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, so that suffixes and the hashes of pods fit. */}}
{{- define "milvus-operator.fullname" -}}
{{- $name := include "milvus-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Never `managed-by: milvus-operator`: that is for what the operator itself makes. */}}
{{- define "milvus-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "milvus-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "milvus-operator.selector" -}}
app.kubernetes.io/name: {{ include "milvus-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "milvus-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "milvus-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What a namespace or a name of digits alone would be without quotes is a number. */}}
{{- define "milvus-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "milvus-operator.serviceAccount" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}
