{{/* The name of the objects. */}}
{{- define "ringback.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels by which selectors find the pods. They never change. */}}
{{- define "ringback.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ringback.labels" -}}
{{ include "ringback.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The metadata of an object without a name of its own. */}}
{{- define "ringback.metadata" -}}
name: {{ include "ringback.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "ringback.labels" . | nindent 2 }}
{{- end -}}

{{- define "ringback.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringback.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "ringback.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* Whether the chart itself creates the files of the accounts. */}}
{{- define "ringback.ownAccounts" -}}
{{- with .Values.accounts -}}
{{- if not (or .database .existingConfigMap .existingSecret) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Fails on values that contradict each other. */}}
{{- define "ringback.check" -}}
{{- with .Values.accounts -}}
{{- $sources := compact (list .existingConfigMap .existingSecret (ternary "database" "" .database)) -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "accounts: set only one of existingConfigMap, existingSecret and database, not %s" (join " and " $sources)) -}}
{{- end -}}
{{- if and (not $sources) (not .files) -}}
{{- fail "accounts: set files, existingConfigMap, existingSecret or database" -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.secretEnv -}}
{{- if has $name (list "RINGBACK__KAFKA__INSTANCE_ID" "RINGBACK__STORE__DIRECTORY" "RINGBACK__HTTP__LISTEN" "RINGBACK__HTTP__TOKEN__FILE" "RINGBACK__ACCOUNTS__FILE") -}}
{{- fail (printf "secretEnv: the chart itself sets %s" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
