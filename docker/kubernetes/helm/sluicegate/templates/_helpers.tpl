{{- define "sluicegate.labels" -}}
app.kubernetes.io/name: sluicegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "sluicegate.selector" -}}
app.kubernetes.io/name: sluicegate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluicegate.name" -}}
{{ .Release.Name }}-sluicegate
{{- end }}

{{- define "sluicegate.project" -}}
{{- if .Values.project -}}
{{ .Values.project }}
{{- else -}}
k8s-log-{{ required "clusterId is missing: --set clusterId=ID, or --set project=NAME to send the logs of all Pods there" .Values.clusterId }}
{{- end -}}
{{- end }}

{{- define "sluicegate.group" -}}
{{- if .Values.machineGroup -}}
{{ .Values.machineGroup }}
{{- else -}}
k8s-group-{{ .Values.clusterId }}
{{- end -}}
{{- end }}

{{- define "sluicegate.configuration" -}}
{{- if .Values.configuration -}}
{{ .Values.configuration }}
{{- else if .Values.clusterId -}}
{{ include "sluicegate.cluster" . }}
{{- else -}}
inputs:
  pods:
    type: file
    paths: [/var/log/pods/*/*/*.log]
    # What it says itself would come back for ever.
    exclude: ["/var/log/pods/{{ .Release.Namespace }}_{{ include "sluicegate.name" . }}-*/**"]
    format: container
    kubernetes:
      namespaces:
        {{- toYaml .Values.namespaces | nindent 8 }}
      pods:
        {{- toYaml .Values.pods | nindent 8 }}
      containers:
        {{- toYaml .Values.containers | nindent 8 }}
      {{- if .Values.podLabels.enabled }}
      api:
        labels:
          {{- toYaml .Values.podLabels.names | nindent 10 }}
      {{- end }}
    {{- if .Values.processors }}
    processors:
      {{- toYaml .Values.processors | nindent 6 }}
    {{- end }}
destinations:
  cloud:
    endpoint: {{ .Values.endpoint | quote }}
    project: {{ include "sluicegate.project" . | quote }}
    logstore: {{ .Values.logstore | quote }}
    access_key_id: ${file:/etc/sluicegate-credentials/access-key-id}
    access_key_secret: ${file:/etc/sluicegate-credentials/access-key-secret}
    tags:
      _node_ip_: ${env:NODE_IP}
      _node_name_: ${env:NODE_NAME}
{{- if .Values.customResources.enabled }}
collection:
  destination:
    endpoint: {{ .Values.endpoint | quote }}
    # Of resources that name none.
    project: {{ include "sluicegate.project" . | quote }}
    access_key_id: ${file:/etc/sluicegate-credentials/access-key-id}
    access_key_secret: ${file:/etc/sluicegate-credentials/access-key-secret}
    tags:
      _node_ip_: ${env:NODE_IP}
      _node_name_: ${env:NODE_NAME}
  machine_groups: false
  kubernetes: {}
{{- end }}
{{- end }}
{{- end }}
