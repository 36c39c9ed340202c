//! A lab from nothing, in the order in which things need one another.

use std::fs;

use super::Lab;
use super::teardown;
use crate::component::{Component, Role};
use crate::error::{Error, Result};
use crate::machine::Datapath;
use crate::{cluster, links, parallel};

impl Lab {
    pub(super) fn build(&mut self) -> Result<()> {
        let dir = &self.plan.dir;
        teardown::mark(dir)?;
        for sub in ["cluster", "workloads", "pods", "tmp"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(Error::file("create", &sub))?;
        }
        self.state.save(&self.plan.dir)?;
        self.build_hosts()?;
        if self.plan.options.kubernetes.is_some() {
            self.build_kubernetes()?;
        } else {
            self.build_ovn_central()?;
            self.build_switches()?;
            if !self.plan.options.bare {
                self.build_cluster()?;
            }
        }
        self.state.complete = true;
        self.state.save(&self.plan.dir)
    }

    fn build_hosts(&self) -> Result<()> {
        let (ui, plan, hosts) = (self.ui, &self.plan, self.plan.hosts());
        let what = format!("{} hosts, OVN central and a switch in namespaces", hosts.len());
        ui.step(&what, || {
            links::fabric(plan, &self.journal)?;
            // `None` is OVN central's host.
            parallel::each(hosts.iter().map(Some).chain([None]), |host| match host {
                Some(host) => links::host(plan, &self.journal, host, self.state.datapath),
                None => links::central(plan, &self.journal),
            })
        })
    }

    pub(crate) fn build_ovn_central(&self) -> Result<()> {
        self.ui.step("OVN central: Northbound, Southbound, ovn-northd", || {
            parallel::each([Role::Nb, Role::Sb], |role| self.start(&Component::central(role)))?;
            self.start(&Component::central(Role::Northd))
        })
    }

    fn build_switches(&self) -> Result<()> {
        let words = match self.state.datapath {
            Datapath::System => "kernel datapath",
            Datapath::Netdev => "userspace datapath",
        };
        let what = format!("Open vSwitch and ovn-controller on each host ({words})");
        self.ui.step(&what, || {
            parallel::each(&self.plan.hosts(), |host| {
                for role in [Role::Ovsdb, Role::Vswitchd, Role::Controller] {
                    self.start(&Component::on(host, role))?;
                }
                Ok(())
            })
        })
    }

    fn build_cluster(&self) -> Result<()> {
        cluster::nodes::write(self)?;
        self.ui.step("meridian-translator", || {
            self.start(&Component::central(Role::Translator))
        })?;
        self.ui.step("meridian-node on each host", || {
            parallel::each(&self.plan.hosts(), |host| self.start(&Component::on(host, Role::Agent)))
        })
    }
}
