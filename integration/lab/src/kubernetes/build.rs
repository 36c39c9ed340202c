//! A cluster from nothing. Things that do not need one another come up side by side.

use std::time::Duration;

use super::{addons, chart, control_plane, node};
use crate::component::{Component, Role};
use crate::error::Result;
use crate::lab::Lab;
use crate::parallel;
use crate::plan::Host;

/// How long a host may take to be Ready, and DNS to answer, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// What comes up side by side, once the hosts have their namespaces.
enum Lane {
    Ovn,
    ControlPlane,
    Host(Host),
}

impl Lab {
    /// Brings Kubernetes up on hosts that are there, and Meridian on it.
    pub(crate) fn build_kubernetes(&self) -> Result<()> {
        let (ui, plan, hosts) = (self.ui(), self.plan(), self.plan().hosts());
        ui.step("keys, certificates and kubeconfigs", || {
            control_plane::write_files(plan)?;
            self.journal().create_folder(&plan.disks())?;
            parallel::each(&hosts, |host| node::write_files(plan, self.distribution()?, host))
        })?;
        ui.step("mounts, processes and names of each host", || {
            let inits = hosts.iter().map(|host| Component::on(host, Role::Init));
            parallel::each(inits.chain([Component::central(Role::Init)]), |init| self.start(&init))
        })?;
        let lanes = [Lane::ControlPlane, Lane::Ovn].into_iter();
        parallel::each(lanes.chain(hosts.iter().cloned().map(Lane::Host)), |lane| match lane {
            Lane::ControlPlane => self.build_control_plane(),
            Lane::Ovn => self.build_ovn_central(),
            Lane::Host(host) => self.build_host(&host),
        })?;
        ui.step(
            "meridian-translator, and kubelet and meridian-node on each host",
            || {
                parallel::each(hosts.iter().map(Some).chain([None]), |host| match host {
                    None => self.start(&Component::central(Role::Translator)),
                    Some(host) => {
                        self.start(&Component::on(host, Role::Kubelet))?;
                        self.start(&Component::on(host, Role::Agent))
                    }
                })
            },
        )?;
        ui.step("nodes Ready", || self.await_nodes(&hosts))
    }

    fn build_control_plane(&self) -> Result<()> {
        let ui = self.ui();
        ui.step("etcd, kube-apiserver", || {
            self.start(&Component::central(Role::Etcd))?;
            self.start(&Component::central(Role::Apiserver))
        })?;
        ui.step("kube-controller-manager, kube-scheduler", || {
            let roles = [Role::ControllerManager, Role::Scheduler, Role::Forward];
            parallel::each(roles, |role| self.start(&Component::central(role)))
        })?;
        ui.step("Meridian's objects, CoreDNS", || {
            chart::install(self)?;
            addons::apply_pool(self)?;
            addons::apply(self)
        })
    }

    /// Everything of a host that needs no API.
    fn build_host(&self, host: &Host) -> Result<()> {
        let what = format!("{}: Open vSwitch, ovn-controller, containerd with images", host.name);
        self.ui().step(&what, || {
            for role in [Role::Ovsdb, Role::Vswitchd, Role::Controller, Role::Containerd] {
                self.start(&Component::on(host, role))?;
            }
            Ok(())
        })
    }

    /// Waits until Kubernetes finds these hosts Ready, and the API server can reach their pods.
    pub(super) fn await_nodes(&self, hosts: &[Host]) -> Result<()> {
        let mut args = vec!["wait".to_owned(), "--for=condition=Ready".to_owned()];
        args.push(format!("--timeout={}s", PATIENCE.as_secs()));
        args.extend(hosts.iter().map(|host| format!("node/{}", host.name)));
        self.kubectl(args)?;
        self.route_slices(hosts)
    }

    /// Waits until CoreDNS answers.
    pub fn await_dns(&self) -> Result<()> {
        self.ui()
            .step("CoreDNS available", || addons::await_dns(self, PATIENCE))
    }
}
