//! The lab that the tests share, and how to put pods and policies into it.

use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use meridian_lab::cluster;
use meridian_lab::cluster::object::{Key, Object};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::error::Error;
use meridian_lab::netns;
use meridian_lab::plan::{Families, WORLD_V4, WORLD_V6};
use serde_json::{Value, json};

use crate::client;
use crate::common::{TestLab, share};
use crate::service::{Endpoint, Frontend, PORTS, Service};

/// Who asks, and answers, beyond the cluster.
pub(crate) const OUTSIDE: &str = "fabric";
/// Its addresses.
pub(crate) const WORLD: [IpAddr; 2] = [IpAddr::V4(WORLD_V4), IpAddr::V6(WORLD_V6)];

pub(crate) struct Cluster {
    pub(crate) lab: TestLab,
    /// Pods that come and go cost the userspace switch of their host a packet of others' now and then: who counts packets wants
    /// quiet.
    quiet: RwLock<()>,
    /// The lab's controllers are one.
    applying: Mutex<()>,
}

/// The lab, if one can be.
pub(crate) fn shared() -> Option<Arc<Cluster>> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, || Cluster {
        lab: TestLab::up(Families::Dual),
        quiet: RwLock::default(),
        applying: Mutex::default(),
    })
}

/// A policy of a namespace.
pub(crate) fn policy(namespace: &str, name: &str, spec: &Value) -> Object {
    object(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    }))
}

/// A pod with the label `name`, which answers by TCP on a port called `http`, and by UDP.
pub(crate) fn pod(namespace: &str, name: &str, node: &str) -> Object {
    let ports = json!([
        {"name": "http", "containerPort": PORTS[0]},
        {"containerPort": PORTS[1], "protocol": "UDP"},
    ]);
    object(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"name": name}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/main", "ports": ports}]},
    }))
}

pub(crate) fn object(value: &Value) -> Object {
    Object::from_value(value.clone()).expect("an object")
}

impl Cluster {
    /// For a test that others may run beside.
    pub(crate) fn busy(&self) -> RwLockReadGuard<'_, ()> {
        self.quiet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a test that nothing may happen beside.
    pub(crate) fn quiet(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a namespace with these pods and nodes.
    pub(crate) fn put_pods(&self, namespace: &str, pods: &[(&str, &str)]) {
        let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"name": namespace}}});
        let pods = pods.iter().map(|(name, node)| pod(namespace, name, node));
        self.apply([object(&own)].into_iter().chain(pods).collect());
    }

    pub(crate) fn put(&self, namespace: &str, name: &str, spec: &Value) {
        self.apply(vec![policy(namespace, name, spec)]);
    }

    pub(crate) fn apply(&self, objects: Vec<Object>) {
        let _one = self.applying.lock();
        cluster::apply(&self.lab.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
    }

    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let _one = self.applying.lock();
        let keys = [Key::new(kind, namespace, name)];
        cluster::delete(&self.lab.lab, &keys).unwrap_or_else(|e| panic!("delete: {e}"));
    }

    /// `namespace/name`.
    pub(crate) fn sandbox(&self, pod: &str) -> Option<Sandbox> {
        let all = Sandbox::all(&self.lab.lab).expect("sandboxes are readable");
        all.into_iter()
            .find(|one| format!("{}/{}", one.namespace, one.name) == pod)
    }

    /// The network namespace of a pod, `namespace/name`, or a host.
    pub(crate) fn place(&self, who: &str) -> String {
        let sandbox = self.sandbox(who);
        sandbox.map_or_else(|| self.lab.lab.plan().netns(who), |sandbox| sandbox.netns)
    }

    /// A pod's addresses.
    pub(crate) fn ips(&self, pod: &str) -> Vec<IpAddr> {
        let sandbox = self.sandbox(pod).expect("the pod is there");
        let ips = sandbox.ips.iter().map(|ip| ip.parse().expect("an address"));
        ips.collect()
    }

    /// Where a pod answers.
    pub(crate) fn at(&self, pod: &str) -> Vec<Frontend> {
        let [tcp, udp] = PORTS;
        self.ips(pod).into_iter().map(|ip| Frontend { ip, tcp, udp }).collect()
    }

    /// A server of TCP that answers any request as if it were a pod of the host's name. It ends with the test's process.
    pub(crate) fn listen(&self, host: &'static str, ip: IpAddr, port: u16) {
        let listener = netns::within(&self.place(host), || {
            TcpListener::bind((ip, port)).map_err(Error::net("listen on a host"))
        });
        let listener = listener.unwrap_or_else(|e| panic!("{host}: {e}"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                client::serve(stream, host).ok();
            }
        });
    }

    /// A service of a pod's.
    pub(crate) fn serve(&self, service: Service, pod: &str, node: &str) -> Service {
        let service = service.answered_by(&[Endpoint::new(self.ips(pod), Some(node))]);
        self.apply(service.objects());
        service
    }
}
