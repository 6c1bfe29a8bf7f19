"""docker/kubernetes: every manifest fits Kubernetes' schemas, asks for no more rights than it needs, shares the directories it
means to share, and carries a configuration that `sluicegate check` takes. The same of what the Helm chart makes."""

import json
import os
import pathlib
import re
import subprocess

import kubernetes_validate
import yaml
from harness.gateway import merged
from harness.image import ROOT
from harness.wait import equal

PEERS = ["python", "chart"]
KUBERNETES = ROOT / "docker" / "kubernetes"
CHART = KUBERNETES / "helm" / "sluicegate"
VERSIONS = ["1.29", "1.33", "1.37"]
MANIFESTS = ["job-sidecar.yaml", "deployment-sidecar.yaml", "daemonset.yaml"]
DEFINITIONS = KUBERNETES / "crds.yaml"
# What reads custom resources and writes their status back.
CUSTOM_RESOURCES = [
    {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    for group, plural in (("log.alibabacloud.com", "aliyunlogconfigs"), ("telemetry.alibabacloud.com", "clusteraliyunpipelineconfigs"))
    for resource, verbs in ((plural, ["list", "watch"]), (f"{plural}/status", ["patch"]))
]
SECRETS = "/etc/sluicegate-credentials"
# What the field references of the manifests become in a cluster.
FIELDS = {
    "metadata.name": "web-0", "metadata.namespace": "shop", "spec.nodeName": "node-1", "status.podIP": "10.0.0.7",
    "status.hostIP": "10.0.0.1",
}


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def manifest(name):
    return documents((KUBERNETES / name).read_text())


def chart(case, check=True, **values):
    """What the templates become, by file; values as `--set` would lay them on values.yaml."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    given = {
        "Values": merged(yaml.safe_load((CHART / "values.yaml").read_text()), values),
        "Chart": {key[0].upper() + key[1:]: value for key, value in about.items()},
        "Release": {"Name": "logs", "Namespace": "monitoring", "Service": "Helm"},
    }
    done = subprocess.run([case.work / "chart", CHART], input=json.dumps(given), capture_output=True, text=True, timeout=30)
    if check:
        equal(f"the chart, which said {done.stderr!r}", done.returncode, 0)
        return json.loads(done.stdout)
    return done


def chart_documents(case, **values):
    files = chart(case, **values)
    return [document for name, text in files.items() if name.endswith(".yaml") for document in documents(text)]


def every(case):
    """(where, documents) of everything."""
    full = {
        "podLabels": {"enabled": True, "names": ["app"]}, "namespaces": {"include": ["shop", "/^team-.*/"], "exclude": ["kube-system"]},
        "processors": [{"parse": "json", "depth": 2}, {"drop": {"level": "/^debug$/"}}], "nodeSelector": {"disk": "ssd"},
        "priorityClassName": "system-node-critical", "imagePullSecrets": [{"name": "registry"}], "tolerations": [],
        "image": {"tag": "1.2.3"},
    }
    own = {"configuration": "inputs: { forward: {} }\nlog_service: { enabled: true }"}
    yield "chart of a cluster", chart_documents(case, clusterId="c1")
    yield "deploy", deployed(case)
    yield from ((name, manifest(name)) for name in MANIFESTS)
    for what, values in (("chart", {}), ("chart with all values", full), ("chart with its own configuration", own)):
        yield what, chart_documents(case, project="my-project", **values)


def deployed(case, *more):
    """What `sluicegate deploy` prints for a cluster, key included."""
    secret = case.directory / "secret"
    secret.write_text("hunter2")
    place = ["--endpoint", "https://cn-hangzhou.log.aliyuncs.com", "--access-key-id", "id", "--access-key-file", str(secret)]
    words = [case.gateway(start=False).binary, "deploy", "--cluster-id", "c1", "--manifests-only", *place]
    done = subprocess.run([*words, *(more or ["--include-key"])], capture_output=True, text=True, timeout=30)
    equal(f"deploy, which said {done.stderr!r}", done.returncode, 0)
    return documents(done.stdout)


def of_kind(found, *kinds):
    return [document for document in found if document["kind"] in kinds]


def pods(found):
    return [document["spec"]["template"]["spec"] for document in of_kind(found, "Job", "Deployment", "DaemonSet")]


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def gateway_of(pod):
    (container,) = [container for container in containers(pod) if container["name"] == "sluicegate"]
    return container


def test_schemas(case):
    count = 0
    for where, found in [*every(case), ("crds", documents(DEFINITIONS.read_text()))]:
        for document in found:
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{where}, {document['kind']}, Kubernetes {version}: {error.path}: {error.message}") from error
                count += 1
    print(f"        {count} checks with the schemas of Kubernetes {', '.join(VERSIONS)}")


def test_schemas_find_faults(case):
    """The checker checks: a slip of the pen in a probe is found."""
    (job,) = of_kind(manifest("job-sidecar.yaml"), "Job")
    gateway = gateway_of(job["spec"]["template"]["spec"])
    gateway["livenessProbe"]["initialDelaySecond"] = gateway["livenessProbe"].pop("initialDelaySeconds")
    try:
        kubernetes_validate.validate(job, VERSIONS[0], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("a wrong key was not found")


def test_configurations(case):
    """As the gateway would find them in its Pod: its environment, its Secret as files."""
    secrets = case.directory / "secrets"
    secrets.mkdir()
    for name in ("access-key-id", "access-key-secret"):
        (secrets / name).write_text("x")
    gateway = case.gateway(start=False)
    for where, found in every(case):
        (configuration,) = of_kind(found, "ConfigMap")
        text = configuration["data"]["sluicegate.yaml"].replace(SECRETS, str(secrets))
        path = case.directory / "sluicegate.yaml"
        path.write_text(text)
        (pod,) = pods(found)
        environment = {
            entry["name"]: entry.get("value") or FIELDS[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            for entry in gateway_of(pod).get("env", [])
        }
        done = subprocess.run(
            [gateway.binary, "check", str(path)], capture_output=True, text=True, timeout=30, env={**os.environ, **environment}
        )
        equal(f"check of {where}, which said {done.stderr}", done.returncode, 0)


def test_mounts(case):
    """The seed's demo had a letter less in one of its two mount paths. What a configuration names is mounted, what is mounted
    is there, and an application's directory is the same on both sides."""
    for where, found in every(case):
        (configuration,) = of_kind(found, "ConfigMap")
        (pod,) = pods(found)
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        gateway = gateway_of(pod)
        mounts = {mount["name"]: mount["mountPath"] for mount in gateway["volumeMounts"]}
        equal(f"{where}: volumes and mounts", set(mounts), set(volumes))
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                equal(f"{where}: {mount['name']} on both sides", mount["mountPath"], mounts[mount["name"]])
        named = re.findall(r"/(?:var/log|etc/sluicegate)[^\s,\]\"}*]*", configuration["data"]["sluicegate.yaml"])
        for path in named:
            mounted = any(pathlib.PurePath(path).is_relative_to(at) for at in mounts.values())
            equal(f"{where}: {path} is mounted", mounted, True)
        own = {document["metadata"]["name"] for document in of_kind(found, "ConfigMap")}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                equal(f"{where}: its ConfigMap", volume["configMap"]["name"] in own, True)


def test_rights(case):
    for where, found in every(case):
        (pod,) = pods(found)
        gateway = gateway_of(pod)
        security = gateway["securityContext"]
        equal(f"{where}: read-only root", security["readOnlyRootFilesystem"], True)
        equal(f"{where}: no escalation", security["allowPrivilegeEscalation"], False)
        equal(f"{where}: dropped capabilities", security["capabilities"]["drop"], ["ALL"])
        equal(f"{where}: the node's namespaces", [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)], [])
        if of_kind(found, "DaemonSet"):
            equal(f"{where}: capabilities", security["capabilities"].get("add"), ["DAC_READ_SEARCH"])
            host = {volume["hostPath"]["path"]: volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
            writable = {mount["name"] for mount in gateway["volumeMounts"] if not mount.get("readOnly")}
            equal(f"{where}: directories of the node", set(host), {"/var/log", "/var/lib/sluicegate"})
            equal(f"{where}: written to", writable, {host["/var/lib/sluicegate"]})
        else:
            equal(f"{where}: capabilities", security["capabilities"].get("add"), None)
            users = pod.get("securityContext", {}) | security
            equal(f"{where}: not root", (users["runAsNonRoot"], users["runAsUser"]), (True, 65532))
        for role in of_kind(found, "ClusterRole"):
            pods_rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
            wants_pods = where != "chart" and "own" not in where
            equal(f"{where}: rules", role["rules"], [pods_rule] * wants_pods + CUSTOM_RESOURCES)
        (configuration,) = of_kind(found, "ConfigMap")
        asks = "collection:" in configuration["data"]["sluicegate.yaml"]
        equal(f"{where}: who reads custom resources has a role", asks and not of_kind(found, "ClusterRole"), False)
        equal(f"{where}: roles of a namespace", of_kind(found, "Role", "RoleBinding"), [])


def test_roles_are_asked_for(case):
    """Who does not ask the API server gets no role and no token."""
    none = {"customResources": {"enabled": False}}
    found = chart_documents(case, project="my-project", **none)
    equal("roles", of_kind(found, "ClusterRole", "ClusterRoleBinding"), [])
    equal("token", pods(found)[0]["automountServiceAccountToken"], False)
    for asks in ({"podLabels": {"enabled": True}, **none}, {}):
        found = chart_documents(case, project="my-project", **asks)
        equal("roles", len(of_kind(found, "ClusterRole", "ClusterRoleBinding")), 2)
        equal("token", pods(found)[0]["automountServiceAccountToken"], True)


def structural(where, schema):
    """What the API server asks of a schema besides: a type at each place, no key in two minds about unknown fields."""
    equal(f"{where}: has a type", schema.get("type") in ("object", "array", "string", "integer", "boolean"), True)
    if schema["type"] == "array":
        structural(f"{where}[]", schema["items"])
    for name, inner in schema.get("properties", {}).items():
        structural(f"{where}.{name}", inner)
    equal(f"{where}: required keys are there", set(schema.get("required", [])) - set(schema.get("properties", {})), set())
    equal(f"{where}: properties of an object alone", "properties" in schema and schema["type"] != "object", False)


def test_definitions(case):
    """One source for kubectl and for Helm; structural schemas with a status of their own."""
    text = DEFINITIONS.read_text()
    equal("the chart's", (CHART / "crds" / "crds.yaml").read_text(), text)
    for definition in documents(text):
        names, spec = definition["spec"]["names"], definition["spec"]
        equal("name", definition["metadata"]["name"], f"{names['plural']}.{spec['group']}")
        (version,) = spec["versions"]
        equal("status", version["subresources"], {"status": {}})
        structural(names["kind"], version["schema"]["openAPIV3Schema"])
        rule = {"apiGroups": [spec["group"]], "resources": [names["plural"]], "verbs": ["list", "watch"]}
        equal("its rule", rule in CUSTOM_RESOURCES, True)


def test_probes(case):
    """Probes ask what is there: the operations port, or the program under Logtail's name."""
    for where, found in every(case):
        (pod,) = pods(found)
        gateway = gateway_of(pod)
        ports = {port["name"]: port["containerPort"] for port in gateway.get("ports", [])}
        probes = {kind: gateway[kind] for kind in ("livenessProbe", "readinessProbe", "startupProbe") if kind in gateway}
        equal(f"{where}: has a liveness probe", "livenessProbe" in probes, True)
        for kind, probe in probes.items():
            if "exec" in probe:
                equal(f"{where}: {kind}", probe["exec"]["command"], ["/etc/init.d/ilogtaild", "status"])
            else:
                path, port = probe["httpGet"]["path"], ports[probe["httpGet"]["port"]]
                equal(f"{where}: {kind}", (path, port), ("/healthz" if kind == "livenessProbe" else "/readyz", 24290))


def test_chart_asks_for_its_one_value(case):
    done = chart(case, check=False)
    equal("without a project", done.returncode, 1)
    equal("what is missing", "--set project=NAME" in done.stderr, True)


def test_chart_of_a_cluster(case):
    """One value is enough; names are derived from it as `sluicegate deploy` does it."""
    values = {"clusterId": "c1"}
    (configuration,) = of_kind(chart_documents(case, **values), "ConfigMap")
    found = yaml.safe_load(configuration["data"]["sluicegate.yaml"])
    equal("group", found["agent"]["user_defined_ids"], ["k8s-group-c1"])
    equal("project", found["collection"]["destination"]["project"], "k8s-log-c1")
    equal("sections", sorted(found), ["agent", "collection"])
    equal("custom resources", found["collection"]["kubernetes"], {})
    equal("notes", "k8s-log-c1" in chart(case, **values)["NOTES.txt"], True)


def test_deploy_prints_what_the_chart_makes(case):
    """The manifests of `sluicegate deploy` fit the schemas, and the configuration in them is the chart's of the same value."""
    printed = deployed(case)
    for document in printed:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    (agents,) = of_kind(printed, "DaemonSet")
    (mounted,) = [volume for volume in agents["spec"]["template"]["spec"]["volumes"] if "configMap" in volume]
    (ours,), (charts,) = (of_kind(found, "ConfigMap") for found in (printed, chart_documents(case, clusterId="c1")))
    equal("the DaemonSet's configuration", mounted["configMap"]["name"], ours["metadata"]["name"])
    equal("the DaemonSet's id", yaml.safe_load(ours["data"]["sluicegate.yaml"])["agent"]["user_defined_ids"], ["k8s-group-c1"])
    equal("configuration", *(yaml.safe_load(one["data"]["sluicegate.yaml"]) for one in (ours, charts)))


def test_deploy_keeps_the_key_to_itself(case):
    """A key is written only where that is asked for, and only its owner reads the file, which may have been there before."""
    file = case.directory / "manifests.yaml"
    file.write_text("old")
    file.chmod(0o644)
    equal("printed", deployed(case, "--output", str(file)), [])
    equal("without a key", "hunter2" in file.read_text(), False)
    deployed(case, "--output", str(file), "--include-key")
    (secret,) = of_kind(documents(file.read_text()), "Secret")
    equal("with it", (secret["stringData"]["access-key-secret"], file.stat().st_mode & 0o777), ("hunter2", 0o600))


def test_chart_notes_and_names(case):
    files = chart(case, project="my-project")
    equal("notes name the DaemonSet", "daemonset/logs-sluicegate" in files["NOTES.txt"], True)
    (daemon_set,) = of_kind(chart_documents(case, project="my-project"), "DaemonSet")
    selector = daemon_set["spec"]["selector"]["matchLabels"]
    labels = daemon_set["spec"]["template"]["metadata"]["labels"]
    equal("the selector finds its Pods", {key: labels[key] for key in selector}, selector)
    equal("image", gateway_of(daemon_set["spec"]["template"]["spec"])["image"], "sluicegate:0.1.0")


def test_versions(case):
    """One version everywhere."""
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    equal("chart", (about["version"], about["appVersion"]), (version, version))
    for name in MANIFESTS:
        (pod,) = pods(manifest(name))
        equal(f"image of {name}", gateway_of(pod)["image"], f"sluicegate:{version}")
