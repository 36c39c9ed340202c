//! The roles daemons have, and where each belongs.

/// What a daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The first process of a host that has namespaces of all kinds.
    Init,
    /// ovsdb-server of the Northbound database.
    Nb,
    /// ovsdb-server of the Southbound database.
    Sb,
    /// ovn-northd.
    Northd,
    /// etcd.
    Etcd,
    /// kube-apiserver.
    Apiserver,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// meridian-translator.
    Translator,
    /// ovsdb-server of a host.
    Ovsdb,
    /// ovs-vswitchd of a host.
    Vswitchd,
    /// ovn-controller of a host.
    Controller,
    /// containerd of a host.
    Containerd,
    /// kubelet of a host.
    Kubelet,
    /// meridian-node of a host.
    Agent,
    /// What forwards a port of the machine to the API.
    Forward,
}

/// The central host's, in the order in which they start.
pub(super) const CENTRAL: [Role; 10] = [
    Role::Init,
    Role::Nb,
    Role::Sb,
    Role::Northd,
    Role::Etcd,
    Role::Apiserver,
    Role::ControllerManager,
    Role::Scheduler,
    Role::Forward,
    Role::Translator,
];
/// A host's, in the order in which they start.
pub(super) const HOST: [Role; 7] = [
    Role::Init,
    Role::Ovsdb,
    Role::Vswitchd,
    Role::Controller,
    Role::Containerd,
    Role::Kubelet,
    Role::Agent,
];

impl Role {
    /// Its name in a lab.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Etcd => "etcd",
            Self::Apiserver => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Forward => "forward",
            Self::Nb => "nb",
            Self::Sb => "sb",
            Self::Northd => "northd",
            Self::Translator => "translator",
            Self::Ovsdb => "ovsdb",
            Self::Vswitchd => "vswitchd",
            Self::Controller => "controller",
            Self::Agent => "agent",
        }
    }

    /// Whether it is Meridian's own.
    pub(super) fn ours(self) -> bool {
        matches!(self, Self::Translator | Self::Agent)
    }

    /// Whether only labs with Kubernetes have it.
    pub(super) fn kubernetes(self) -> bool {
        match self {
            Self::Init
            | Self::Etcd
            | Self::Apiserver
            | Self::ControllerManager
            | Self::Scheduler
            | Self::Containerd
            | Self::Kubelet
            | Self::Forward => true,
            Self::Nb
            | Self::Sb
            | Self::Northd
            | Self::Translator
            | Self::Ovsdb
            | Self::Vswitchd
            | Self::Controller
            | Self::Agent => false,
        }
    }
}
