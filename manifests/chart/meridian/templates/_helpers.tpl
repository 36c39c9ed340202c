{{/* Labels of an object: dict "root" $ "name" NAME. */}}
{{- define "meridian.labels" -}}
{{ include "meridian.selector" . }}
app.kubernetes.io/part-of: meridian
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{- define "meridian.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Labels of pods. Without versions, which would exchange Open vSwitch with every release of Meridian. */}}
{{- define "meridian.podLabels" -}}
{{ include "meridian.selector" . }}
app.kubernetes.io/part-of: meridian
{{- end }}

{{/* image and imagePullPolicy: dict "root" $ "image" VALUES. */}}
{{- define "meridian.image" -}}
image: {{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- end }}

{{/* Ends with everything that is missing, each with the way to find it. Every workload calls it before anything else. */}}
{{- define "meridian.check" -}}
{{- $missing := list }}
{{- if not .Values.clusterCIDR }}
{{- $missing = append $missing "clusterCIDR is not set: where pods live, for example 10.244.0.0/16. To find it: kubectl cluster-info dump | grep -m1 -o -- '--cluster-cidr=[^\"]*'; or the network that contains what this tells: kubectl get nodes -o jsonpath='{.items[*].spec.podCIDRs}'" }}
{{- end }}
{{- if and (not .Values.serviceCIDR) (semverCompare "<1.33-0" .Capabilities.KubeVersion.Version) }}
{{- $missing = append $missing (printf "serviceCIDR is not set, and Kubernetes %s has no ServiceCIDR objects that tell it (1.33 has): where services live, for example 10.96.0.0/12. To find it: kubectl cluster-info dump | grep -m1 -o -- '--service-cluster-ip-range=[^\"]*'" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if not .Values.apiServer.host }}
{{- $missing = append $missing "apiServer.host is not set: the API server as nodes reach it without services. To find it: kubectl cluster-info; or kubectl get endpointslices -l kubernetes.io/service-name=kubernetes" }}
{{- end }}
{{- if .Values.ovnCentral.enabled }}
{{- if not .Values.ovnCentral.address }}
{{- $missing = append $missing "ovnCentral.address is not set: the address of the node that OVN's databases run on. To find it: kubectl get nodes -l node-role.kubernetes.io/control-plane -o wide" }}
{{- end }}
{{- else }}
{{- range $name := list "northbound" "southbound" }}
{{- if not (get $.Values $name) }}
{{- $missing = append $missing (printf "%s is not set: where ovnCentral.enabled is false, the remotes of your own database, for example tcp:192.0.2.1:%s" $name (eq $name "northbound" | ternary "6641" "6642")) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $missing }}
{{- fail (printf "\n  %s" (join "\n  " $missing)) }}
{{- end }}
{{- end }}

{{/* The address of ovn-central. */}}
{{- define "meridian.central" -}}
{{- $address := .Values.ovnCentral.address -}}
{{ contains ":" $address | ternary (printf "[%s]" $address) $address }}
{{- end }}

{{- define "meridian.scheme" -}}
{{ .Values.tls.secretName | empty | ternary "tcp" "ssl" }}
{{- end }}

{{/* Remotes: what is given, or else ovn-central's. */}}
{{- define "meridian.northbound" -}}
{{- if .Values.northbound }}
{{- .Values.northbound }}
{{- else }}
{{- printf "%s:%s:%v" (include "meridian.scheme" .) (include "meridian.central" .) .Values.ovnCentral.northboundPort }}
{{- end }}
{{- end }}

{{- define "meridian.southbound" -}}
{{- if .Values.southbound }}
{{- .Values.southbound }}
{{- else }}
{{- printf "%s:%s:%v" (include "meridian.scheme" .) (include "meridian.central" .) .Values.ovnCentral.southboundPort }}
{{- end }}
{{- end }}

{{/* Where the programs find the API: the Service that a pod is told of works only through them. */}}
{{- define "meridian.apiServer" -}}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.apiServer.host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.apiServer.port | quote }}
{{- end }}

{{/* Flags that all of Meridian's programs have. */}}
{{- define "meridian.commonArgs" -}}
{{- with .Values.clusterID }}
- --cluster-id={{ . }}
{{- end }}
{{- with .Values.mtu }}
- --mtu={{ . | int }}
{{- end }}
{{- with .Values.logFormat }}
- --log-format={{ . }}
{{- end }}
{{- end }}

{{/* What a pod needs for TLS: the volume, its mount, and the flags of OVS and OVN's daemons. */}}
{{- define "meridian.tlsVolume" -}}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    # 0440, in decimal: not every reader of YAML knows octal.
    defaultMode: 288
{{- end }}
{{- end }}

{{- define "meridian.tlsMount" -}}
{{- if .Values.tls.secretName }}
- {name: tls, mountPath: /etc/meridian/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "meridian.ovsTLS" -}}
{{- if .Values.tls.secretName }}
- --private-key=/etc/meridian/tls/tls.key
- --certificate=/etc/meridian/tls/tls.crt
- --ca-cert=/etc/meridian/tls/ca.crt
{{- end }}
{{- end }}

{{/*
An ovsdb-server: command and the arguments of the shell. What follows in `args` are the server's own.
dict "file" PATH "schema" PATH "first" TRANSACTION (optional: what a new database begins with)

As OVS' own scripts do it, but for one thing: a database that cannot be converted is kept, and the server does not
start. Open vSwitch's has the ports of running pods.
*/}}
{{- define "meridian.ovsdbServer" -}}
command:
  - /bin/sh
  - -ec
  - |
    db={{ .file }} schema={{ .schema }}
    # Many chassis are many connections.
    ulimit -n 65535 2>/dev/null || true
    if [ ! -s "$db" ]; then
      rm -f "$db.new"
      ovsdb-tool create "$db.new" "$schema"
      {{- with .first }}
      ovsdb-tool transact "$db.new" '{{ . }}'
      {{- end }}
      mv "$db.new" "$db"
    elif [ "$(ovsdb-tool needs-conversion "$db" "$schema")" = yes ]; then
      cp "$db" "$db.backup$(ovsdb-tool db-version "$db")"
      ovsdb-tool compact "$db"
      ovsdb-tool convert "$db" "$schema"
    fi
    exec ovsdb-server "$db" -vconsole:info -vsyslog:off -vfile:off "$@"
  - ovsdb-server
{{- end }}

{{/* A daemon of OVS or OVN lives while its main loop answers: dict "appctl" ovs-appctl|ovn-appctl "target" NAME. */}}
{{- define "meridian.ovsLiveness" -}}
livenessProbe:
  exec:
    command: [{{ .appctl }}, --timeout=5, -t, {{ .target }}, version]
  timeoutSeconds: 6
  periodSeconds: 20
  # A minute of compaction or of recomputing is no reason to begin anew.
  failureThreshold: 9
{{- end }}

{{/* Without any privilege; the files of these daemons are root's. */}}
{{- define "meridian.rootWithoutPrivileges" -}}
securityContext:
  runAsUser: 0
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Where kubelet, on the same host, reaches what listens at an address: dict "host" IP "port" PORT. */}}
{{- define "meridian.probeAddress" -}}
host: {{ get (dict "0.0.0.0" "127.0.0.1" "::" "::1") .host | default .host | quote }}
port: {{ .port }}
{{- end }}
