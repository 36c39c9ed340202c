//! The host.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use meridian_node_cni::netlink::{Rtnetlink, shielded};
use meridian_node_cni::netns::Netns;
use ovsdb::testing::eventually;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{NetnsGuard, Pod, run};

/// A host: Open vSwitch, ovn-controller, and OVN's central databases with northd.
#[derive(Debug)]
pub(crate) struct Host {
    name: String,
    pods: AtomicU32,
    // Dropped, and so ended, in this order; the folder last.
    pub(crate) controller: Option<Daemon>,
    pub(crate) vswitchd: Option<Daemon>,
    pub(crate) ovs_server: Option<Daemon>,
    northd: Option<Daemon>,
    pub(crate) ovn_server: Option<Daemon>,
    folder: TempDir,
}

/// What is on a host that the plugin could leave behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftovers {
    /// Devices, apart from those Open vSwitch makes.
    pub(crate) links: BTreeSet<String>,
    /// Shield chains.
    pub(crate) shields: BTreeSet<String>,
    /// Rows of the Port table.
    pub(crate) ports: BTreeSet<String>,
    /// Rows of the Interface table.
    pub(crate) interfaces: BTreeSet<String>,
}

impl Host {
    /// Starts everything but the agent. The tunnel address is the loopback's: there is one host only.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: it makes network namespaces and runs Open vSwitch in them"
        );
        let name = format!("mnc{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        // From here on, dropping the value cleans up.
        let mut host = Self {
            name,
            pods: AtomicU32::new(0),
            controller: None,
            vswitchd: None,
            ovs_server: None,
            northd: None,
            ovn_server: None,
            // Unix sockets' paths have 108 bytes.
            folder: tempfile::Builder::new().prefix("mnc").tempdir_in("/tmp").unwrap(),
        };
        host.set_loopback_up();
        let ovs_schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run("ovsdb-tool", &["create", &host.path("conf.db"), ovs_schema]);
        for (database, schema) in [("nb.db", "ovn-nb"), ("sb.db", "ovn-sb")] {
            let schema = format!("/usr/share/ovn/{schema}.ovsschema");
            run("ovsdb-tool", &["create", &host.path(database), &schema]);
        }
        host.start_ovn_server();
        host.start_ovs_server();
        host.vsctl(&["--no-wait", "init"]);
        let ovn = format!("unix:{}", host.path("ovn.sock"));
        let (northbound, southbound) = (format!("--ovnnb-db={ovn}"), format!("--ovnsb-db={ovn}"));
        host.northd = Some(host.daemon("northd", "ovn-northd", &[&northbound, &southbound]));
        host.start_vswitchd();
        host.start_controller();
        host
    }

    pub(crate) fn start_ovn_server(&mut self) {
        let remote = format!("--remote=punix:{}", self.path("ovn.sock"));
        let arguments = [remote.as_str(), &self.path("nb.db"), &self.path("sb.db")];
        self.ovn_server = Some(self.daemon("ovn-server", "ovsdb-server", &arguments));
        self.wait_for_socket("ovn.sock");
    }

    pub(crate) fn start_ovs_server(&mut self) {
        let remote = format!("--remote=punix:{}", self.path("db.sock"));
        let arguments = [remote.as_str(), &self.path("conf.db")];
        self.ovs_server = Some(self.daemon("ovs-server", "ovsdb-server", &arguments));
        self.wait_for_socket("db.sock");
    }

    pub(crate) fn start_vswitchd(&mut self) {
        let database = format!("unix:{}", self.path("db.sock"));
        self.vswitchd = Some(self.daemon("vswitchd", "ovs-vswitchd", &[&database, "--disable-system"]));
    }

    pub(crate) fn start_controller(&mut self) {
        let database = format!("unix:{}", self.path("db.sock"));
        self.controller = Some(self.daemon("controller", "ovn-controller", &[&database]));
    }

    /// Everything of the host's own goes, but for the database of Open vSwitch, whose server is running again. OVN's central
    /// databases are elsewhere, as it were.
    pub(crate) fn reboot(&mut self) {
        for daemon in [&mut self.controller, &mut self.vswitchd, &mut self.ovs_server] {
            drop(daemon.take());
        }
        run("ip", &["netns", "del", &self.name]);
        run("ip", &["netns", "add", &self.name]);
        self.set_loopback_up();
        self.start_ovs_server();
    }

    fn set_loopback_up(&self) {
        run("ip", &["-n", &self.name, "link", "set", "lo", "up"]);
    }

    fn daemon(&self, label: &str, program: &str, arguments: &[&str]) -> Daemon {
        let control = format!("--unixctl={}", self.path(&format!("{label}.ctl")));
        let mut all = arguments.to_vec();
        all.push("-vconsole:info");
        // ovn-controller of OVN 23.03 does not know the option, and puts its socket into the run folder by itself.
        if program != "ovn-controller" {
            all.push(&control);
        }
        Daemon::start(self.folder(), &self.name, label, program, &all)
    }

    fn wait_for_socket(&self, name: &str) {
        let path = self.path(name);
        eventually(&path, || std::os::unix::net::UnixStream::connect(&path).ok());
    }

    /// Name of its network namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the host's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    pub(crate) fn netns(&self) -> Netns {
        Netns::open(&PathBuf::from(format!("/run/netns/{}", self.name))).unwrap()
    }

    /// Waits until what the plugin could leave behind is as it was: Open vSwitch takes its time to let go.
    pub(crate) fn await_leftovers(&self, before: &Leftovers) {
        let mut last = None;
        let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("nothing is left behind", || {
                let now = self.leftovers();
                let same = now == *before;
                last = Some(now);
                same.then_some(())
            });
        }));
        assert!(same.is_ok(), "left behind: {last:?}, before: {before:?}");
    }

    /// Waits for a line of the plugin's log about a pod.
    pub(crate) fn await_plugin_log(&self, pod: &Pod, what: &str) {
        eventually(what, || {
            let log = std::fs::read_to_string(self.path("plugin.log")).unwrap_or_default();
            let mut lines = log.lines();
            lines
                .any(|line| line.contains(&pod.container_id) && line.contains(what))
                .then_some(())
        });
    }

    /// Waits until ovn-controller has worked off everything that northd wrote, and Open vSwitch what it wrote.
    pub(crate) fn await_forwarding(&self) {
        self.nbctl(&["--wait=hv", "--timeout=30", "sync"]);
    }

    /// A listener on an address of the host.
    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        self.netns().run(|| TcpListener::bind(address).unwrap()).unwrap()
    }

    /// A number no other pod of the host has.
    pub(crate) fn next_pod(&self) -> u32 {
        self.pods.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("db.sock"));
        let mut all = vec![database.as_str(), "--no-wait"];
        all.extend(arguments);
        run("ovs-vsctl", &all)
    }

    pub(crate) fn nbctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.path("ovn.sock"));
        let mut all = vec![database.as_str()];
        all.extend(arguments);
        run("ovn-nbctl", &all)
    }

    /// What is there now.
    pub(crate) fn leftovers(&self) -> Leftovers {
        let (links, shields) = self
            .netns()
            .run(|| {
                let links = Rtnetlink::open().unwrap().links().unwrap();
                (links, shielded().unwrap())
            })
            .unwrap();
        let names = |table| {
            let text = self.vsctl(&["--bare", "--columns=name", "list", table]);
            text.lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Leftovers {
            // Open vSwitch's own appear and disappear with its restarts.
            links: links
                .into_iter()
                .filter(|link| link.kind.as_deref() == Some("veth"))
                .map(|link| link.name)
                .collect(),
            shields: shields.into_iter().collect(),
            ports: names("Port"),
            interfaces: names("Interface"),
        }
    }
}

/// The nftables ruleset of a host.
pub(crate) fn ruleset(host: &Host) -> String {
    run("ip", &["netns", "exec", host.name(), "nft", "list", "ruleset"])
}

#[allow(clippy::print_stderr, reason = "the daemons' last words, for a test that fails")]
impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for label in ["agent", "controller"] {
                let log = std::fs::read_to_string(self.folder().join(format!("{label}.log"))).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                for line in tail.iter().rev() {
                    eprintln!("{label}: {line}");
                }
            }
        }
        for daemon in [
            &mut self.controller,
            &mut self.vswitchd,
            &mut self.ovs_server,
            &mut self.northd,
            &mut self.ovn_server,
        ] {
            drop(daemon.take());
        }
        drop(NetnsGuard(self.name.clone()));
    }
}
