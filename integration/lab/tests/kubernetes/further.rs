//! Further interfaces of pods, as Multus has them made: real Multus, between containerd and the plugin.

use std::fs;
use std::net::IpAddr;

use serde_json::Value;

use crate::steps::{AGNHOST, Cluster, PATIENCE};

const SETTING: &str = include_str!("further.yaml");
const PODS: &str = include_str!("twice.yaml");
const PODS_OF_IT: [&str; 2] = ["twice-0", "twice-1"];
/// Before Meridian's own, which it hands the first interface to.
const CONFIGURATION: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "multus-cni-network",
  "type": "multus",
  "kubeconfig": "/etc/kubernetes/kubelet.kubeconfig",
  "clusterNetwork": "/etc/cni/net.d/10-meridian.conflist"
}"#;

impl Cluster {
    pub(crate) fn multus_gives_pods_interfaces_in_another_vpc(&self) {
        self.lab().kubectl_apply(SETTING).unwrap_or_else(|e| panic!("{e}"));
        let program = self
            .lab()
            .distribution()
            .expect("the lab has Kubernetes")
            .program("multus");
        for host in self.lab().plan().hosts() {
            let disk = self.lab().plan().disk(&host);
            fs::copy(&program, disk.join("cni-bin/bin/multus")).expect("Multus is copied");
            fs::write(disk.join("cni-conf/net.d/00-multus.conf"), CONFIGURATION).expect("its configuration is written");
        }
        let parts = self.lab().distribution().expect("the lab has Kubernetes");
        let image = parts.image(AGNHOST).unwrap_or_else(|e| panic!("{e}"));
        // The API server takes a moment to know a new kind.
        let apply = || {
            let applied = self.lab().kubectl_apply(&PODS.replace("${AGNHOST}", &image));
            applied.map_err(|e| e.to_string())
        };
        self.eventually("the pods and what they name", apply, |_| true);
        self.await_twice();
        self.pods_reach_each_other_by_both_interfaces();
    }

    fn await_twice(&self) {
        let args = format!(
            "rollout status -n twice statefulset/twice --timeout={}s",
            PATIENCE.as_secs()
        );
        if let Err(e) = self.try_kubectl(&args) {
            let pods = self.kubectl("get pods,events -n twice -o wide");
            panic!("kubectl {args}: {e}\n{pods}");
        }
    }

    /// The addresses of a pod's further interface, by its network status.
    pub(crate) fn further_ips(&self, pod: &str) -> Vec<IpAddr> {
        let path = r"jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}";
        let text = self.kubectl(&format!("get pod -n twice {pod} -o {path}"));
        let status: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let of_net1 = status.iter().find(|entry| entry["interface"] == "net1");
        let of_net1 = of_net1.unwrap_or_else(|| panic!("no net1 in {text}"));
        assert_eq!(of_net1["name"], "twice/green", "{text}");
        let ips = of_net1["ips"].as_array().expect("there are addresses").iter();
        let ips = ips.filter_map(|ip| ip.as_str()?.parse().ok());
        let ips: Vec<IpAddr> = ips.collect();
        assert_eq!(ips.len(), 2, "{text}");
        assert!(ips.iter().all(|ip| ip.to_string().contains("77")), "{text}");
        ips
    }

    pub(crate) fn pods_reach_each_other_by_both_interfaces(&self) {
        for (from, to) in [(PODS_OF_IT[0], PODS_OF_IT[1]), (PODS_OF_IT[1], PODS_OF_IT[0])] {
            let first = self.kubectl(&format!("get pod -n twice {to} -o jsonpath={{.status.podIP}}"));
            let first: IpAddr = first.parse().expect("the pod has an address");
            let all = self
                .further_ips(to)
                .into_iter()
                .map(|ip| ("net1", ip))
                .chain([("eth0", first)]);
            for (interface, ip) in all {
                let at = std::net::SocketAddr::new(ip, 8080);
                let command = format!("curl -sS --max-time 5 --interface {interface} http://{at}/hostname");
                let ask = || self.try_kubectl(&format!("exec -n twice {from} -- {command}"));
                self.eventually(&format!("{to} from {from} by {interface}"), ask, |answer| answer == to);
            }
            // Nothing else of the VPC's is in the way of the first interface.
            let ask = || {
                self.try_kubectl(&format!(
                    "exec -n twice {from} -- curl -sS --max-time 5 http://web.short/hostname"
                ))
            };
            self.eventually(&format!("a service from {from}"), ask, |answer| {
                answer.starts_with("web-")
            });
        }
    }

    pub(crate) fn a_pod_that_is_made_anew_has_its_interfaces_again(&self) {
        self.kubectl("delete pod -n twice twice-0 --wait=true");
        self.await_twice();
        self.pods_reach_each_other_by_both_interfaces();
    }

    pub(crate) fn an_interface_that_nobody_gives_is_told_of_on_the_pod(&self) {
        let image = self.lab().distribution().and_then(|parts| parts.image(AGNHOST));
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: barred, namespace: short, annotations: {{k8s.v1.cni.cncf.io/networks: twice/green}}}}\n\
             spec: {{containers: [{{name: c, image: '{}', imagePullPolicy: Never}}]}}\n",
            image.unwrap_or_else(|e| panic!("{e}"))
        );
        self.lab().kubectl_apply(&pod).unwrap_or_else(|e| panic!("{e}"));
        let ask = || {
            self.try_kubectl(
                "get events -n short --field-selector involvedObject.name=barred -o jsonpath={.items[*].message}",
            )
        };
        self.eventually("why it is not let in", ask, |told| {
            told.contains("VPC green does not let pods of namespace short in")
        });
        self.kubectl("delete pod -n short barred --wait=true --grace-period=1");
    }
}
