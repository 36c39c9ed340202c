//! The steps, in the order in which they are taken.

use std::net::IpAddr;
use std::time::Duration;

use meridian_lab::command::Cmd;
use meridian_lab::lab::Lab;
use meridian_lab::{netns, wait};

const WORKLOADS: &str = include_str!("workloads.yaml");
/// Without its tag.
pub(crate) const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
const NODE_PORT: u16 = 30080;

pub(crate) struct Cluster {
    lab: Lab,
}

impl Cluster {
    pub(crate) fn new(lab: Lab) -> Self {
        Self { lab }
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn kubectl(&self, args: &str) -> String {
        self.try_kubectl(args).unwrap_or_else(|e| panic!("kubectl {args}: {e}"))
    }

    pub(crate) fn try_kubectl(&self, args: &str) -> Result<String, String> {
        self.lab.kubectl(args.split_whitespace()).map_err(|e| e.to_string())
    }

    /// In the pod `client`, which has an address of the cluster's.
    fn in_pod(&self, command: &str) -> Result<String, String> {
        self.try_kubectl(&format!("exec -n short client -- {command}"))
    }

    /// On a host's network.
    fn on(&self, host: &str, command: &str) -> Result<String, String> {
        let mut words = command.split_whitespace();
        let program = words.next().expect("a command has a program");
        let netns = self.lab.plan().netns(host);
        Cmd::new(program)
            .args(words)
            .netns(&netns)
            .run()
            .map_err(|e| e.to_string())
    }

    /// Asks until it is so; a failure tells the last answer.
    pub(crate) fn eventually(
        &self,
        what: &str,
        ask: impl Fn() -> Result<String, String>,
        wanted: impl Fn(&str) -> bool,
    ) {
        let mut last = Ok(String::new());
        let answered = wait::until(PATIENCE, || {
            last = ask();
            last.as_ref().is_ok_and(|answer| wanted(answer)).then_some(())
        });
        if answered.is_none() {
            let pods = self.try_kubectl("get pods,events -A -o wide").unwrap_or_default();
            panic!("{what}: {last:?}\n{pods}");
        }
    }

    fn ips(&self, host: &str) -> Vec<IpAddr> {
        let host = self.lab.plan().host(host).expect("the host is in the plan");
        self.lab
            .plan()
            .node_ips(&host)
            .iter()
            .map(ipnetwork::IpNetwork::ip)
            .collect()
    }

    /// Names of the rows of a table.
    fn rows(&self, table: &str, column: &str) -> Vec<String> {
        let args = ["--bare", &format!("--columns={column}"), "list", table];
        let text = self.lab.ovn("ovn-nbctl", &args).expect("Northbound answers");
        text.split_whitespace().map(str::to_owned).collect()
    }

    pub(crate) fn nodes_say_that_their_network_is_there(&self) {
        self.kubectl("wait node --all --for=condition=Ready --timeout=120s");
        self.kubectl("wait node --all --for=condition=NetworkUnavailable=False --timeout=60s");
        let proxies = self.kubectl("get pods -A -l k8s-app=kube-proxy -o name");
        assert_eq!(proxies, "", "there is no kube-proxy");
    }

    pub(crate) fn workloads_become_ready_by_every_kind_of_probe(&self) {
        let parts = self.lab.distribution().expect("the lab has Kubernetes");
        let image = parts.image(AGNHOST).unwrap_or_else(|e| panic!("{e}"));
        self.lab
            .kubectl_apply(&WORKLOADS.replace("${AGNHOST}", &image))
            .unwrap_or_else(|e| panic!("{e}"));
        self.await_workloads();
    }

    fn await_workloads(&self) {
        let seconds = PATIENCE.as_secs();
        for args in [
            format!("rollout status -n short deployment/web --timeout={seconds}s"),
            format!("wait -n short pod --all --for=condition=Ready --timeout={seconds}s"),
        ] {
            if let Err(e) = self.try_kubectl(&args) {
                let pods = self.kubectl("get pods,events -n short -o wide");
                panic!("kubectl {args}: {e}\n{pods}");
            }
        }
    }

    pub(crate) fn pods_resolve_names_and_reach_services(&self) {
        for name in ["web", "web.short", "web.short.svc.cluster.local"] {
            let ask = || self.in_pod(&format!("curl -sS --max-time 5 http://{name}/hostname"));
            self.eventually(name, ask, |answer| answer.starts_with("web-"));
        }
        for kind in ["A", "AAAA"] {
            let ask = || self.in_pod(&format!("dig +short {kind} web.short.svc.cluster.local"));
            self.eventually(kind, ask, |answer| answer.trim().parse::<IpAddr>().is_ok());
        }
        // A pod with its host's network asks the same servers.
        let ask = || self.try_kubectl("exec -n short on-host -- curl -sS --max-time 5 http://web.short/hostname");
        self.eventually("from the host's network", ask, |answer| answer.starts_with("web-"));
    }

    pub(crate) fn pods_and_hosts_reach_the_api_by_its_cluster_ip(&self) {
        let service = self.kubectl("get service kubernetes -o jsonpath={.spec.clusterIP}");
        let ask = format!("curl -sSk --max-time 5 https://{service}/version");
        self.eventually("the API from a pod", || self.in_pod(&ask), |a| a.contains("gitVersion"));
        let named = "curl -sSk --max-time 5 https://kubernetes.default.svc/version";
        self.eventually("the API by name", || self.in_pod(named), |a| a.contains("gitVersion"));
        for host in ["node-1", "node-2"] {
            self.eventually(host, || self.on(host, &ask), |a| a.contains("gitVersion"));
        }
    }

    pub(crate) fn ports_of_nodes_lead_to_services(&self) {
        for node in ["node-1", "node-2"] {
            for ip in self.ips(node) {
                let at = std::net::SocketAddr::new(ip, NODE_PORT);
                let ask = format!("curl -sS --max-time 5 http://{at}/hostname");
                for host in ["central", "node-1", "node-2"] {
                    let what = format!("{at} from {host}");
                    self.eventually(&what, || self.on(host, &ask), |a| a.starts_with("web-"));
                }
                self.eventually(
                    &format!("{at} from a pod"),
                    || self.in_pod(&ask),
                    |a| a.starts_with("web-"),
                );
            }
        }
    }

    pub(crate) fn kubelet_and_plugin_give_pods_what_they_ask_for(&self) {
        let at = std::net::SocketAddr::new(self.ips("node-1")[0], 18080);
        let ask = format!("curl -sS --max-time 5 http://{at}/hostname");
        for host in ["central", "node-2", "node-1"] {
            self.eventually(
                &format!("hostPort from {host}"),
                || self.on(host, &ask),
                |a| a == "client",
            );
        }
        let aliases = self.in_pod("cat /etc/hosts").expect("the pod has a hosts file");
        assert!(aliases.contains("alias.example"), "{aliases}");
        let ports = self
            .in_pod("cat /proc/sys/net/ipv4/ip_local_port_range")
            .expect("a sysctl");
        assert_eq!(ports.split_whitespace().collect::<Vec<_>>(), ["40000", "50000"]);
        let shaped = self.on("node-1", "tc qdisc show").expect("tc answers");
        assert!(shaped.contains("tbf"), "{shaped}");
    }

    pub(crate) fn people_look_into_pods(&self) {
        let logs = self.kubectl("logs -n short client");
        assert!(!logs.is_empty());
        let config = self.lab.admin_kubeconfig();
        let kubectl = self
            .lab
            .distribution()
            .expect("the lab has Kubernetes")
            .program("kubectl");
        let mut forward = None;
        netns::within(&self.lab.plan().central(), || {
            let child = std::process::Command::new(&kubectl)
                .args(["port-forward", "-n", "short", "pod/client", "9080:8080"])
                .env("KUBECONFIG", &config)
                .stdout(std::process::Stdio::null())
                .spawn();
            forward = Some(child);
            Ok(())
        })
        .expect("the central host is there");
        let mut forward = forward.expect("it ran").expect("kubectl starts");
        let ask = || self.on("central", "curl -sS --max-time 5 http://127.0.0.1:9080/hostname");
        let answer = wait::until(PATIENCE, || ask().ok());
        forward.kill().and_then(|()| forward.wait()).expect("kubectl ends");
        assert_eq!(answer.as_deref(), Some("client"));
    }

    pub(crate) fn a_pod_without_an_address_says_why(&self) {
        let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: lost, namespace: short}, spec: {nodeName: nowhere, \
                        containers: [{name: c, image: none}]}}";
        self.lab.kubectl_apply(manifest).unwrap_or_else(|e| panic!("{e}"));
        let ask = || {
            self.try_kubectl("get events -n short --field-selector involvedObject.name=lost -o jsonpath={.items[*].note}{.items[*].message}")
        };
        self.eventually("an event", ask, |answer| answer.contains("nowhere"));
        self.kubectl("delete pod -n short lost --force --grace-period=0");
    }

    pub(crate) fn a_host_that_lost_power_comes_back_whole(&self) {
        let before = self.rows("Logical_Switch_Port", "name").len();
        let further = ["twice-0", "twice-1"].map(|pod| self.further_ips(pod));
        self.lab.reboot_node("node-1").unwrap_or_else(|e| panic!("{e}"));
        let restarts = "get pod -n short client -o jsonpath={.status.containerStatuses[0].restartCount}";
        self.eventually("a new container", || self.try_kubectl(restarts), |count| count != "0");
        self.await_workloads();
        self.pods_resolve_names_and_reach_services();
        self.pods_reach_each_other_by_both_interfaces();
        assert_eq!(["twice-0", "twice-1"].map(|pod| self.further_ips(pod)), further);
        let at = std::net::SocketAddr::new(self.ips("node-1")[0], NODE_PORT);
        let ask = format!("curl -sS --max-time 5 http://{at}/hostname");
        self.eventually("its ports", || self.on("central", &ask), |a| a.starts_with("web-"));
        let after = self.rows("Logical_Switch_Port", "name");
        assert_eq!(after.len(), before, "{after:?}");
    }

    pub(crate) fn a_host_that_is_gone_leaves_no_row(&mut self) {
        self.lab.add_node("node-3").unwrap_or_else(|e| panic!("{e}"));
        let ports = |cluster: &Self| cluster.rows("Logical_Switch_Port", "name");
        assert!(ports(self).iter().any(|name| name == "mgmt-default-node-3"));
        self.lab.remove_node("node-3").unwrap_or_else(|e| panic!("{e}"));
        for (table, column) in [
            ("Logical_Switch", "name"),
            ("Logical_Switch_Port", "name"),
            ("Logical_Router_Port", "name"),
            ("Logical_Router_Static_Route", "route_table"),
        ] {
            let ask = || Ok(self.rows(table, column).join(" "));
            self.eventually(table, ask, |names| !names.contains("node-3"));
        }
        // Its chassis would be answered for by nobody.
        let chassis = || {
            let args = ["--bare", "--columns=name", "list", "Chassis"];
            self.lab.ovn("ovn-sbctl", &args).map_err(|e| e.to_string())
        };
        self.eventually("its chassis", chassis, |names| !names.contains("node-3"));
    }
}
