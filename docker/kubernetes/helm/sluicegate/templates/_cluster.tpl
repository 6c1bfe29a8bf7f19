{{- /* The configuration of a cluster's gateways. `sluicegate deploy` reads it, too, and fills in the same three values. */ -}}
{{- define "sluicegate.cluster" -}}
# What is collected is said in Log Service, by configurations that are applied to this machine group, and by custom resources.
agent:
  user_defined_ids: [{{ include "sluicegate.group" . | quote }}]
collection:
  destination:
    endpoint: {{ .Values.endpoint | quote }}
    project: {{ include "sluicegate.project" . | quote }}
    access_key_id: ${file:/etc/sluicegate-credentials/access-key-id}
    access_key_secret: ${file:/etc/sluicegate-credentials/access-key-secret}
    tags:
      _node_ip_: ${env:NODE_IP}
      _node_name_: ${env:NODE_NAME}
{{- if .Values.customResources.enabled }}
  kubernetes: {}
{{- end }}
{{- end }}
