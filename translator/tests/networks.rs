//! VPCs as the program's users see them: `explain pod`, `explain path`, `topology`, and `render` and `plan` with VPCs, from manifests alone.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::fs;

use common::{run, stderr, stdout};
use ovsdb::testing::{OvsdbServer, northbound_schema};
use serde_json::{Value, json};
use tempfile::TempDir;

const CLUSTER: &str = "\
apiVersion: v1
kind: Node
metadata: {name: n1, uid: n1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.30.0.11}]}
---
apiVersion: meridian.dev/v1alpha1
kind: Vpc
metadata: {name: blue, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  namespaceSelector: {matchLabels: {team: sky}}
  podNetwork: {cidrs: [10.8.0.0/16]}
  egress: {mode: None}
---
apiVersion: v1
kind: Namespace
metadata: {name: sky, labels: {team: sky}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {namespace: sky, name: a, uid: u-a}
spec: {nodeName: n1}
status: {podIPs: [{ip: 10.8.3.9}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: b, uid: u-b}
spec: {nodeName: n1}
---
apiVersion: v1
kind: Pod
metadata: {namespace: lost, name: c, uid: u-c}
spec: {nodeName: n1}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: dns, annotations: {meridian.dev/shared: \"true\"}}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: dns-1, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: dns, port: 5353, protocol: UDP}]
endpoints: [{addresses: [10.244.1.4], nodeName: n1, conditions: {ready: true}}]
";

/// A second VPC, which cannot be used: its network is that of the default one.
const CLASH: &str = "\
apiVersion: meridian.dev/v1alpha1
kind: Vpc
metadata: {name: red, creationTimestamp: 2026-01-02T00:00:00Z}
spec: {podNetwork: {cidrs: [10.244.0.0/16]}}
";

/// A pod with an interface in a VPC that lets it in, and one of a definition that there is not.
const FURTHER: &str = "\
apiVersion: meridian.dev/v1alpha1
kind: Vpc
metadata: {name: green}
spec:
  podNetwork: {cidrs: [10.9.0.0/16]}
  attachments: {namespaceSelector: {}}
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {namespace: shop, name: storage}
spec: {config: '{\"type\": \"meridian-cni\", \"vpc\": \"green\"}'}
---
apiVersion: v1
kind: Pod
metadata:
  namespace: shop
  name: two
  uid: u-two
  annotations: {k8s.v1.cni.cncf.io/networks: 'storage,none'}
spec: {nodeName: n1}
";

struct Folder(TempDir);

impl Folder {
    fn of(texts: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        for (number, text) in texts.iter().enumerate() {
            fs::write(folder.path().join(format!("{number}.yaml")), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn explain(&self, words: &[&str]) -> String {
        let flags = [
            "--manifests",
            self.path(),
            "--offline",
            "--service-cidr",
            "10.96.0.0/16",
        ];
        let output = run(&[&["explain"], words, &flags].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }
}

fn has_all(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}

#[test]
fn a_pod_is_told_its_vpc_its_addresses_and_how_come() {
    let folder = Folder::of(&[CLUSTER]);
    has_all(
        &folder.explain(&["pod", "sky/a"]),
        &[
            "VPC        blue  (it selects namespace sky (team=sky))\n",
            "slice      10.8.3.0/24  (switch vpc-blue.n1)\n",
            "address    10.8.3.9  gateway 10.8.3.1  (in its status)\n",
            "port       sky_a  MAC 0a:58:0a:08:03:09\n",
            "  Logical_Switch_Port sky_a  ",
            "not compared with the Northbound database: --offline\n",
        ],
    );
    let b: Value = serde_json::from_str(&folder.explain(&["pod", "shop/b", "--output", "json"])).unwrap();
    assert_eq!(
        b["vpc"],
        json!({"name": "default", "why": "no VPC selects namespace shop"})
    );
    assert_eq!(b["addresses"][0]["source"], "allocated");
}

#[test]
fn a_pod_without_a_port_is_told_why() {
    let folder = Folder::of(&[CLUSTER]);
    let text = folder.explain(&["pod", "lost/c"]);
    has_all(
        &text,
        &[
            "  no port: metadata.namespace: namespace lost is not known",
            "VPC        none\n",
        ],
    );
    assert!(!text.contains("problem:"), "told once: {text}");
}

#[test]
fn whether_the_database_has_the_rows_of_a_pod_is_told() {
    let folder = Folder::of(&[CLUSTER]);
    let server = OvsdbServer::start(&[&northbound_schema()]);
    let remote = server.unix().to_string();
    let output = run(&[
        "explain",
        "pod",
        "sky/a",
        "--manifests",
        folder.path(),
        "--northbound",
        &remote,
    ]);
    has_all(
        &stdout(&output),
        &[
            "the Northbound database differs; run would\n",
            "Logical_Switch_Port sky_a: ",
        ],
    );
}

#[test]
fn a_path_is_told_step_by_step_with_what_carries_or_stops_it() {
    let folder = Folder::of(&[CLUSTER]);
    has_all(
        &folder.explain(&["path", "sky/a", "to", "10.96.0.10:53", "--protocol", "udp"]),
        &[
            "10.96.0.10:53/udp  reached: pod shop/b\n",
            "by service shop/dns; inet meridian, chain forward, set shared4\n",
            "by service shop/dns; Load_Balancer shop_dns_udp\n",
        ],
    );
    has_all(
        &folder.explain(&["path", "sky/a", "to", "shop/b"]),
        &[
            "10.244.1.4  refused: host n1\n",
            "pod shop/b is in VPC default, pod sky/a in VPC blue",
        ],
    );
    has_all(
        &folder.explain(&["path", "sky/a", "to", "192.0.2.1:443"]),
        &["refused: host n1\n", "(spec.egress.mode None)"],
    );
    has_all(
        &folder.explain(&["path", "shop/b", "to", "192.0.2.1:443"]),
        &["leaves the cluster: the world, from node n1\n"],
    );
    has_all(
        &folder.explain(&["path", "lost/c", "to", "shop/b"]),
        &["dropped: pod lost/c\n", "it has no port: metadata.namespace"],
    );
}

#[test]
fn a_path_to_nobody_is_an_error_with_what_there_is() {
    let folder = Folder::of(&[CLUSTER]);
    let fails = |target: &str| {
        let output = run(&[
            "explain",
            "path",
            "sky/a",
            "to",
            target,
            "--manifests",
            folder.path(),
            "--offline",
        ]);
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    has_all(
        &fails("service:shop/dns:54"),
        &["service shop/dns has no port 54; it has 53/udp dns"],
    );
    has_all(&fails("shop/nobody"), &["there is no pod shop/nobody"]);
    has_all(&fails("shop/"), &["names nobody", "write NAMESPACE/POD"]);
}

#[test]
fn a_topology_is_one_file_that_says_everything_in_words_too() {
    let folder = Folder::of(&[CLUSTER, CLASH]);
    let file = folder.0.path().join("networks.html");
    let output = run(&[
        "topology",
        "--manifests",
        folder.path(),
        "--file",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(&file).unwrap();
    has_all(
        &page,
        &[
            "<title id=\"net-title\">Networks of the cluster</title>",
            "VPC blue: 1 pod on 1 node, no way out",
            "router vpc-blue",
            "vpc-blue.n1",
            "prefers-color-scheme:dark",
            "<span class=\"bad\">not ready: ",
        ],
    );
    for elsewhere in ["http://", "https://", "<script"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(elsewhere), "{elsewhere} on the page");
    }
    let output = run(&["topology", "--manifests", folder.path(), "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["vpcs"][1]["slices"][0]["switch"], "vpc-blue.n1");
    assert_eq!(value["vpcs"][1]["peers"], json!([]));
}

#[test]
fn a_topology_has_lines_between_peers_and_says_why_others_are_none() {
    let teal = r"{apiVersion: meridian.dev/v1alpha1, kind: Vpc, metadata: {name: teal}, spec: {podNetwork: {cidrs: [10.77.0.0/16]}, peers: [{name: blue}, {name: lost}]}}";
    let agrees =
        r"{apiVersion: meridian.dev/v1alpha1, kind: VpcPeering, metadata: {name: a}, spec: {vpc: blue, peer: teal}}";
    let folder = Folder::of(&[CLUSTER, teal, agrees]);
    let page = stdout(&run(&["topology", "--manifests", folder.path()]));
    has_all(
        &page,
        &[
            "<title>peers: blue and teal</title>",
            "⇄ blue · waits for lost",
            "lost <span class=\"soft\">(there is no VPC lost)</span>",
        ],
    );
    let output = run(&["topology", "--manifests", folder.path(), "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        value["vpcs"][2]["peers"],
        json!([
            {"name": "blue", "state": "connected"},
            {"name": "lost", "state": "waiting", "why": "there is no VPC lost"}
        ])
    );
}

#[test]
fn a_topology_has_subnets_across_nodes_and_routes() {
    let red = r"
{apiVersion: meridian.dev/v1alpha1, kind: Vpc, metadata: {name: red}, spec: {podNetwork: {cidrs: [10.77.0.0/16]}, namespaceSelector: {matchLabels: {team: lava}}, routes: [{destination: 192.168.0.0/16, nexthops: [10.21.0.5]}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: lava, labels: {team: lava}}}
---
{apiVersion: meridian.dev/v1alpha1, kind: Subnet, metadata: {name: edge}, spec: {vpc: red, cidrs: [10.21.0.0/24]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: fw, namespace: lava, annotations: {meridian.dev/ips: 10.21.0.5}}, spec: {nodeName: n1, containers: [{name: c}]}}";
    let folder = Folder::of(&[CLUSTER, red]);
    let page = stdout(&run(&["topology", "--manifests", folder.path()]));
    has_all(
        &page,
        &[
            "<title>switch subnet-edge: 10.21.0.0/24, 1 pod</title>",
            "<h2>1 Subnet</h2>",
            "<h2>1 route</h2>",
            "<td><code>192.168.0.0/16</code></td><td><code>10.21.0.5</code></td>",
            "VPC red: 1 pod on 1 node",
        ],
    );
    let output = run(&["topology", "--manifests", folder.path(), "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let red = &value["vpcs"][2];
    assert_eq!((&red["pods"], &red["slices"][0]["pods"]), (&json!(1), &json!(0)));
    assert_eq!(
        red["subnets"],
        json!([{"name": "edge", "switch": "subnet-edge", "networks": ["10.21.0.0/24"], "pods": {"n1": 1}}])
    );
    assert_eq!(
        red["routes"],
        json!([{"destination": "192.168.0.0/16", "nexthops": ["10.21.0.5"]}])
    );
}

#[test]
fn a_policy_is_told_with_the_pods_that_it_is_about() {
    let policies = r#"
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: quiet, namespace: sky}, spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}], policyTypes: [Egress]}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 7
  subject: {namespaces: {matchLabels: {team: sky}}}
  egress: [{name: world, action: Accept, to: [{domainNames: ["example.org"]}, {networks: [198.51.100.0/24]}]}]"#;
    let folder = Folder::of(&[CLUSTER, policies]);
    has_all(
        &folder.explain(&["policy", "sky/quiet"]),
        &[
            "networkpolicy sky/quiet\n\nVPC        blue\npods       sky/a\nisolated   in egress, but for what its rules allow\n",
            "egress[0]  Allow\n             to 192.0.2.0/24\n               every protocol and port\n",
            "  ACL sky/quiet:egress[0]:",
        ],
    );
    has_all(
        &folder.explain(&["policy", "cnp:guard"]),
        &[
            "  problem: clusternetworkpolicy/guard: spec.egress[0].to[0].domainNames: names are not looked up",
            "tier       Admin  priority 7, before all others of it",
            "egress[0]  Accept  \"world\"\n             to 198.51.100.0/24\n",
        ],
    );
}

#[test]
fn a_pod_is_told_its_further_interfaces() {
    let folder = Folder::of(&[CLUSTER, FURTHER]);
    has_all(
        &folder.explain(&["pod", "shop/two"]),
        &[
            "interface  net1  VPC green  10.9.0.4  port shop_two@net1  MAC 0a:58:0a:09:00:04  (shop/storage)\n",
            "interface  net2  no port: there is no NetworkAttachmentDefinition shop/none",
            "metadata.annotations[k8s.v1.cni.cncf.io/networks]: entry 2, shop/none as net2: there is no",
            "  Logical_Switch_Port shop_two@net1  ",
        ],
    );
}

#[test]
fn render_and_plan_say_what_is_wrong_with_a_vpc_and_show_the_rest() {
    let folder = Folder::of(&[CLUSTER, CLASH]);
    let output = run(&["render", "--manifests", folder.path()]);
    assert_eq!(output.status.code(), Some(1));
    has_all(
        &stdout(&output),
        &["vpc-blue.n1-egress-v4  (slice/blue/n1, ", "  sky_a  (pod/sky/a, "],
    );
    has_all(&stderr(&output), &["vpc/red", "spec.podNetwork.cidrs", "10.244.0.0/16"]);
    let server = OvsdbServer::start(&[&northbound_schema()]);
    let remote = server.unix().to_string();
    let output = run(&["plan", "--manifests", folder.path(), "--northbound", &remote]);
    assert_eq!(output.status.code(), Some(2));
    has_all(&stdout(&output), &["+ Logical_Router vpc-blue (vpc/blue)"]);
    has_all(&stderr(&output), &["vpc/red", "spec.podNetwork.cidrs"]);
}
