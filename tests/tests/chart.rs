//! Meridian's Helm chart: that the API would take it, that its programs would, and what it may do.
//!
//! By the `helm` of the Kubernetes that the lab runs (`MERIDIAN_KUBE_BIN`, or built by `integration/kubernetes/build`).

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use meridian_lab::cluster::object::documents;
use meridian_lab::kubernetes::Distribution;
use meridian_tests::{node_binary, run, translator_binary};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "meridian-system";

fn distribution() -> Distribution {
    let found = Distribution::find().unwrap_or_else(|error| panic!("{error}"));
    let helm = found.program("helm");
    assert!(
        helm.is_file(),
        "{} is not there: run integration/kubernetes/build cluster, or set MERIDIAN_KUBE_BIN to a folder with bin/helm",
        helm.display()
    );
    found
}

fn helm(command: &[&str], values: &Value) -> Output {
    let parts = distribution();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    // No plugins, repositories or cluster of whoever runs this.
    Command::new(parts.program("helm"))
        .args(command)
        .arg(&parts.chart)
        .args(["--namespace", NAMESPACE, "--values"])
        .arg(&file)
        .env("HOME", folder.path())
        .env("KUBECONFIG", folder.path().join("none"))
        .output()
        .unwrap()
}

fn render(values: &Value) -> Vec<Value> {
    let output = helm(&["template", "meridian"], values);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values}: {stderr}");
    documents(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// What helm says of values it must not take for a cluster from before ServiceCIDRs.
fn refusal(values: &Value) -> String {
    let output = helm(&["template", "meridian", "--kube-version=1.32.9"], values);
    assert!(!output.status.success(), "{values} was taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The least that must be said.
fn least() -> Value {
    json!({
        "clusterCIDR": "10.244.0.0/16",
        "serviceCIDR": "10.96.0.0/12",
        "apiServer": { "host": "192.0.2.10" },
        "ovnCentral": { "address": "192.0.2.10" },
    })
}

/// As the lab has it: databases of its own, one by a socket.
fn lab() -> Value {
    json!({
        "clusterCIDR": "10.244.0.0/16,fd00:10:244::/56",
        "serviceCIDR": "10.96.0.0/16,fd00:10:96::/112",
        "apiServer": { "host": "172.18.0.2" },
        "northbound": "unix:/run/meridian-lab/mlab/central/ovnnb_db.sock",
        "southbound": "tcp:172.18.0.2:6642",
        "listen": "127.0.0.1:9470",
        "datapath": "netdev",
        "createNamespace": true,
        "ovnCentral": { "enabled": false },
    })
}

/// Everything that adds a flag.
fn most() -> Value {
    json!({
        "clusterCIDR": "10.244.0.0/16,fd00:10:244::/56",
        "serviceCIDR": "10.96.0.0/12,fd00:10:96::/112",
        "apiServer": { "host": "api.example.org", "port": 443 },
        "ovnCentral": { "address": "fd00::10", "storage": { "existingClaim": "ovn" } },
        "clusterID": "blue", "mtu": 1400, "deletionBudget": "30%", "listen": "[::]:9470", "datapath": "system",
        "logLevel": "debug", "logFormat": "json",
        "tls": { "secretName": "meridian-tls" },
        "imagePullSecrets": [{ "name": "registry" }],
        "node": { "portmap": "off" },
        "translator": { "nodeSelector": { "a": "b" } },
    })
}

fn all() -> [Value; 3] {
    [least(), lab(), most()]
}

fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

/// Containers of all pods, by name.
fn containers(objects: &[Value]) -> BTreeMap<String, Value> {
    objects
        .iter()
        .filter_map(|object| pod(object)["containers"].as_array())
        .flatten()
        .map(|container| (container["name"].as_str().unwrap().to_owned(), container.clone()))
        .collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// That an object is one of its kind, and has no field that its kind has not.
fn is_of<T: DeserializeOwned + Serialize>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{object:#}: {error}"));
    assert_eq!(&serde_json::to_value(typed).unwrap(), object);
}

#[test]
fn objects_are_what_the_api_takes_and_have_no_field_it_does_not_know() {
    for values in all() {
        for object in render(&values) {
            match object["kind"].as_str().unwrap() {
                "Deployment" => is_of::<Deployment>(&object),
                "DaemonSet" => is_of::<DaemonSet>(&object),
                "ServiceAccount" => is_of::<ServiceAccount>(&object),
                "ClusterRole" => is_of::<ClusterRole>(&object),
                "ClusterRoleBinding" => is_of::<ClusterRoleBinding>(&object),
                "Namespace" => is_of::<Namespace>(&object),
                kind => panic!("the chart has a {kind}, which this test does not know"),
            }
        }
    }
}

#[test]
fn helm_installs_the_crds_before_anything_else() {
    let output = helm(&["template", "meridian", "--include-crds"], &least());
    let objects = documents(&String::from_utf8(output.stdout).unwrap()).unwrap();
    for (crd, name) in objects.iter().zip([
        "addresspools.meridian.dev",
        "vpcs.meridian.dev",
        "vpcpeerings.meridian.dev",
        "subnets.meridian.dev",
    ]) {
        is_of::<CustomResourceDefinition>(crd);
        assert_eq!(crd["metadata"]["name"], name);
    }
}

#[test]
fn helm_has_nothing_to_find_fault_with() {
    for values in all() {
        let output = helm(&["lint", "--strict"], &values);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// A command line as the program reads it: flags and values it does not know end it before `--help` is reached.
fn understands(program: &Path, args: &[String]) -> Result<String, String> {
    let args = args.iter().map(String::as_str).chain(["--help"]);
    run(&program.to_string_lossy(), args)
}

#[test]
fn the_programs_know_the_flags_and_variables_they_are_given() {
    let programs: [(&str, PathBuf); 2] = [
        ("meridian-translator", translator_binary()),
        ("meridian-node", node_binary()),
    ];
    for values in all() {
        let containers = containers(&render(&values));
        for (name, program) in &programs {
            let container = &containers[*name];
            assert_eq!(texts(&container["command"]), [*name]);
            let args = texts(&container["args"]);
            let help = understands(program, &args).unwrap_or_else(|error| panic!("{error}"));
            for variable in container["env"].as_array().unwrap() {
                let variable = variable["name"].as_str().unwrap();
                let known = help.contains(&format!("[env: {variable}="));
                assert!(known || !variable.starts_with("MERIDIAN_"), "{name}: {variable}");
            }
            let mut wrong = args.clone();
            wrong.push("--no-such-flag".into());
            assert!(understands(program, &wrong).is_err(), "{name} takes anything");
            wrong = args;
            wrong.push("--mtu=much".into());
            assert!(understands(program, &wrong).is_err(), "{name} takes any value");
        }
    }
}

#[test]
fn the_programs_are_told_what_the_values_say() {
    let containers = containers(&render(&lab()));
    assert_eq!(
        texts(&containers["meridian-translator"]["args"]),
        ["run", "--southbound=tcp:172.18.0.2:6642", "--listen=127.0.0.1:9470",]
    );
    assert_eq!(
        texts(&containers["meridian-node"]["args"]),
        ["run", "--node-name=$(NODE_NAME)", "--datapath=netdev",]
    );
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let api = [
        json!({ "name": "KUBERNETES_SERVICE_HOST", "value": "172.18.0.2" }),
        json!({ "name": "KUBERNETES_SERVICE_PORT", "value": "6443" }),
    ];
    let [host, port] = &api;
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    // What commands by `kubectl exec` need as well.
    assert_eq!(
        containers["meridian-translator"]["env"],
        json!([
            field("POD_NAME", "metadata.name"),
            host,
            port,
            variable(
                "MERIDIAN_NORTHBOUND",
                "unix:/run/meridian-lab/mlab/central/ovnnb_db.sock"
            ),
            variable("MERIDIAN_CLUSTER_CIDR", "10.244.0.0/16,fd00:10:244::/56"),
            variable("MERIDIAN_SERVICE_CIDR", "10.96.0.0/16,fd00:10:96::/112"),
        ])
    );
    assert_eq!(
        containers["meridian-node"]["env"],
        json!([
            field("NODE_NAME", "spec.nodeName"),
            field("MERIDIAN_ENCAP_IP", "status.hostIP"),
            host,
            port,
            variable("MERIDIAN_SOUTHBOUND", "tcp:172.18.0.2:6642"),
        ])
    );
}

#[test]
fn the_databases_are_those_of_the_chart_unless_others_are_named() {
    let containers = containers(&render(&most()));
    let has = |container: &str, arg: &str| {
        let args = texts(&containers[container]["args"]);
        assert!(args.iter().any(|a| a == arg), "{container}: {args:?}");
    };
    let northbound = json!({ "name": "MERIDIAN_NORTHBOUND", "value": "ssl:[fd00::10]:6641" });
    let variables = containers["meridian-translator"]["env"].as_array().unwrap();
    assert!(variables.contains(&northbound), "{variables:?}");
    has("meridian-translator", "--southbound=ssl:[fd00::10]:6642");
    let southbound = json!({ "name": "MERIDIAN_SOUTHBOUND", "value": "ssl:[fd00::10]:6642" });
    let variables = containers["meridian-node"]["env"].as_array().unwrap();
    assert!(variables.contains(&southbound), "{variables:?}");
    has("northbound", "--remote=pssl:6641:[fd00::10]");
    has("southbound", "--remote=pssl:6642:[fd00::10]");
}

#[test]
fn the_api_allows_what_is_needed_and_nothing_else() {
    let objects = render(&least());
    let (follow, get) = (json!(["list", "watch"]), json!(["get"]));
    let of_cluster = [
        "clusternetworkpolicies",
        "adminnetworkpolicies",
        "baselineadminnetworkpolicies",
    ];
    let rule = |group: &str, resources: &[&str], verbs: &Value| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
    let expected = [
        (
            "meridian-translator",
            json!([
                rule("", &["nodes", "namespaces", "pods", "services"], &follow),
                rule("discovery.k8s.io", &["endpointslices"], &follow),
                rule("networking.k8s.io", &["servicecidrs", "networkpolicies"], &follow),
                rule("policy.networking.k8s.io", &of_cluster, &follow),
                rule(
                    "meridian.dev",
                    &["addresspools", "vpcs", "vpcpeerings", "subnets"],
                    &follow
                ),
                rule("k8s.cni.cncf.io", &["network-attachment-definitions"], &follow),
                rule("", &["pods", "services"], &get),
                rule("discovery.k8s.io", &["endpointslices"], &get),
                rule("networking.k8s.io", &["networkpolicies"], &get),
                rule("policy.networking.k8s.io", &of_cluster, &get),
                rule("meridian.dev", &["vpcs", "vpcpeerings", "subnets"], &get),
                rule("", &["services/status"], &json!(["patch"])),
                rule(
                    "meridian.dev",
                    &[
                        "addresspools/status",
                        "vpcs",
                        "vpcs/status",
                        "vpcpeerings/status",
                        "subnets",
                        "subnets/status"
                    ],
                    &json!(["patch"]),
                ),
                rule("events.k8s.io", &["events"], &json!(["create", "patch"])),
            ]),
        ),
        (
            "meridian-node",
            json!([rule("", &["nodes/status"], &json!(["get", "patch"]))]),
        ),
    ];
    for (name, rules) in &expected {
        assert_eq!(&named(&objects, "ClusterRole", name)["rules"], rules);
        let binding = named(&objects, "ClusterRoleBinding", name);
        assert_eq!(binding["roleRef"]["name"], *name);
        let subject = json!([{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }]);
        assert_eq!(binding["subjects"], subject);
        named(&objects, "ServiceAccount", name);
    }
    let roles = objects
        .iter()
        .filter(|object| object["kind"].as_str().unwrap().contains("Role"));
    assert_eq!(roles.count(), 2 * expected.len());
    for workload in objects.iter().filter(|object| pod(object).is_object()) {
        let name = workload["metadata"]["name"].as_str().unwrap();
        let (account, mounted) = (
            &pod(workload)["serviceAccountName"],
            &pod(workload)["automountServiceAccountToken"],
        );
        let known = expected.iter().any(|(account, _)| *account == name);
        // The others must not have an identity at all.
        assert!(
            if known {
                account == name
            } else {
                account.is_null() && mounted == false
            },
            "{name}"
        );
    }
}

#[test]
fn only_the_agent_is_privileged_and_only_the_switch_has_capabilities() {
    for values in all() {
        let objects = render(&values);
        for (name, container) in containers(&objects) {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            if name == "meridian-node" {
                assert_eq!(security["privileged"], true);
                continue;
            }
            assert!(security["privileged"].is_null(), "{name}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
            let added = match name.as_str() {
                "ovs-vswitchd" => json!(["NET_ADMIN", "NET_RAW", "NET_BROADCAST"]),
                _ => Value::Null,
            };
            assert_eq!(security["capabilities"]["add"], added, "{name}");
        }
        for workload in objects.iter().filter(|object| pod(object).is_object()) {
            for namespace in ["hostPID", "hostIPC"] {
                assert!(pod(workload)[namespace].is_null(), "{}", workload["metadata"]["name"]);
            }
        }
    }
    let objects = render(&least());
    let security = &pod(named(&objects, "Deployment", "meridian-translator"))["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
}

#[test]
fn a_host_lends_no_folder_but_those_that_are_listed() {
    let expected = BTreeMap::from([
        ("meridian-translator", vec![]),
        ("ovn-central", vec!["/var/lib/ovn"]),
        (
            "meridian-openvswitch",
            vec!["/run/openvswitch", "/var/lib/openvswitch", "/dev/net", "/run/ovn"],
        ),
        (
            "meridian-node",
            vec![
                "/run/openvswitch",
                "/run/ovn",
                "/run/meridian",
                "/opt/cni/bin",
                "/etc/cni/net.d",
            ],
        ),
    ]);
    let objects = render(&least());
    let folders: BTreeMap<_, Vec<_>> = objects
        .iter()
        .filter(|object| pod(object).is_object())
        .map(|workload| {
            let volumes = pod(workload)["volumes"].as_array().into_iter().flatten();
            let paths = volumes.filter_map(|volume| volume["hostPath"]["path"].as_str());
            (workload["metadata"]["name"].as_str().unwrap(), paths.collect())
        })
        .collect();
    assert_eq!(folders, expected);
}

#[test]
fn hosts_with_an_open_vswitch_of_their_own_get_no_other() {
    let mut values = least();
    values["openvswitch"] = json!({ "enabled": false });
    let names: Vec<_> = containers(&render(&values)).into_keys().collect();
    assert!(names.contains(&"ovn-controller".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("ovs")), "{names:?}");
    values["ovnController"] = json!({ "enabled": false });
    let objects = render(&values);
    assert!(!objects.iter().any(|o| o["metadata"]["name"] == "meridian-openvswitch"));
}

#[test]
fn what_is_missing_is_named_with_the_way_to_find_it() {
    for (path, said) in [
        ("/clusterCIDR", ["clusterCIDR is not set", "kubectl get nodes"]),
        ("/serviceCIDR", ["serviceCIDR is not set", "kubectl cluster-info dump"]),
        ("/apiServer/host", ["apiServer.host is not set", "kubectl cluster-info"]),
        (
            "/ovnCentral/address",
            ["ovnCentral.address is not set", "kubectl get nodes"],
        ),
    ] {
        let mut values = least();
        *values.pointer_mut(path).unwrap() = json!("");
        let refusal = refusal(&values);
        assert!(said.iter().all(|part| refusal.contains(part)), "{path}: {refusal}");
    }
    let mut values = lab();
    values["southbound"] = json!("");
    let one = refusal(&values);
    assert!(
        one.contains("southbound is not set: where ovnCentral.enabled is false"),
        "{one}"
    );
    let everything = refusal(&json!({}));
    let missing = everything.lines().filter(|line| line.contains(" is not set"));
    assert_eq!(missing.count(), 4, "{everything}");
}

#[test]
fn where_services_live_the_cluster_says_itself_since_it_has_objects_for_that() {
    let mut values = least();
    values["serviceCIDR"] = json!("");
    let output = helm(&["template", "meridian", "--kube-version=1.33.0"], &values);
    let objects = documents(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let variables = containers(&objects)["meridian-translator"]["env"].to_string();
    assert!(
        variables.contains("MERIDIAN_CLUSTER_CIDR") && !variables.contains("MERIDIAN_SERVICE_CIDR"),
        "{variables}"
    );
}

#[test]
fn what_is_malformed_is_refused_by_name() {
    for (path, bad) in [
        ("/clusterCIDR", json!("10.244.0.0")),
        ("/clusterCIDR", json!("10.244.0.0/16, fd00::/56")),
        ("/serviceCIDR", json!("10.96.0.0/33")),
        ("/apiServer/host", json!("https://192.0.2.10")),
        ("/ovnCentral/address", json!("central")),
        ("/northbound", json!("10.0.0.1:6641")),
        ("/southbound", json!("tcp:10.0.0.1")),
        ("/listen", json!("9470")),
        ("/datapath", json!("kernel")),
        ("/clusterID", json!("Blue")),
        ("/mtu", json!(100)),
        ("/deletionBudget", json!("some")),
        ("/clusterCidr", json!("10.244.0.0/16")),
    ] {
        let mut values = least();
        let name = path.rsplit('/').next().unwrap();
        match values.pointer_mut(path) {
            Some(value) => *value = bad,
            None => values[name] = bad,
        }
        let refusal = refusal(&values);
        assert!(refusal.contains(name), "{path}: {refusal}");
    }
}
