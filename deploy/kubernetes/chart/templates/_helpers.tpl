{{- define "keyroll.labels" -}}
app.kubernetes.io/name: keyroll
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
