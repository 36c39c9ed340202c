//! The node's part in services, beside the rules that serve them: what follows from the facts, and who is told of it.
//!
//! Load balancers and the network send here what the host is said to serve. So they are told of nothing that no rule is there for;
//! and nothing is taken back because a database is away, or because newer rules were refused.

use std::sync::Arc;

use super::announce::{self, Announcer};
use super::services::{HealthChecks, Plan, Services, Vpcs};
use crate::protocol::ServicesStatus;

/// What the host's rules are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// No services: there are none yet, or no port in the VPC to hand anything on by.
    Absent,
    /// An earlier plan: the present one was refused.
    Late,
    /// The present plan.
    Current,
}

#[derive(Debug)]
pub(super) struct Serving {
    node: String,
    announcer: Arc<Announcer>,
    services: Arc<Services>,
    /// Those beside the default one that the host has a port in.
    vpcs: Vpcs,
    /// What follows from both here.
    plan: Arc<Plan>,
    rules: Rules,
    health_checks: HealthChecks,
    /// Why connections may go where they no longer belong.
    stale: Option<String>,
    /// Troubles that another try may mend.
    unserved: Vec<String>,
}

impl Serving {
    pub(super) fn new(node: &str, announcer: Arc<Announcer>) -> Self {
        Self {
            node: node.to_owned(),
            announcer,
            services: Arc::default(),
            vpcs: Vpcs::new(),
            plan: Arc::default(),
            rules: Rules::Absent,
            health_checks: HealthChecks::default(),
            stale: None,
            unserved: Vec::new(),
        }
    }

    /// Takes note of the services, and of the VPCs beside the default one that the host has a port in; true if what this host has
    /// to do for services changes.
    pub(super) fn learn(&mut self, services: Arc<Services>, vpcs: Vpcs) -> bool {
        if Arc::ptr_eq(&services, &self.services) && vpcs == self.vpcs {
            return false;
        }
        self.services = services;
        self.vpcs = vpcs;
        let plan = Plan::new(&self.services, &self.node, &self.vpcs);
        let changed = *self.plan != plan;
        self.plan = Arc::new(plan);
        changed
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How an attempt at the rules ended, and at connections that they should have met.
    pub(super) fn note(&mut self, rules: Rules, stale: Option<String>) {
        self.rules = match rules {
            // Of nothing, nothing is late.
            Rules::Late if self.rules == Rules::Absent => Rules::Absent,
            rules => rules,
        };
        self.stale = stale;
    }

    /// Something is wrong with a service that another try may mend.
    pub(super) fn retry(&self) -> bool {
        !self.unserved.is_empty()
    }

    /// Tells the network where services' addresses are, once the rules for what will come are there.
    pub(super) fn announce(&self, links_changed: bool) {
        let facts = self.services.facts.iter().map(|facts| &**facts);
        match self.rules {
            Rules::Current => self.announcer.set(announce::wanted(facts, &self.node)),
            Rules::Late => {}
            Rules::Absent => self.announcer.set(Vec::new()),
        }
        if links_changed {
            self.announcer.links_changed();
        }
    }

    /// Answers health checks, and sums up how services fare; `connected`: the host's ports in the VPC are in place.
    pub(super) fn serve(&mut self, told: bool, connected: bool) -> ServicesStatus {
        let served = connected && self.rules != Rules::Absent;
        self.unserved = if told {
            self.health_checks.ensure(&self.plan.health_checks, served)
        } else {
            Vec::new()
        };
        self.unserved.extend(self.stale.clone());
        let problems = self.services.problems.iter().chain(&self.plan.problems);
        ServicesStatus {
            served,
            known: self.services.facts.len(),
            problems: problems.chain(&self.unserved).cloned().collect(),
            announcements: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ovsdb::testing::eventually;

    use super::super::services::tests::service;
    use super::*;

    fn serving() -> Serving {
        let mut announced = service("web");
        // Of no network that there is: a problem, which shows all the same that it is to be announced.
        for address in &mut announced.addresses {
            address.announcers = vec!["n1".into()];
            address.interfaces = vec!["nosuch0".into()];
        }
        let mut serving = Serving::new("n1", Arc::new(Announcer::spawn().unwrap()));
        let services = Services {
            facts: vec![Arc::new(announced)],
            problems: vec![],
            ..Services::default()
        };
        assert!(serving.learn(Arc::new(services), Vpcs::new()));
        serving
    }

    fn announced(serving: &Serving, count: usize) {
        serving.announce(false);
        eventually("the announcer has heard", || {
            (serving.announcer.status().len() == count).then_some(())
        });
    }

    #[test]
    fn nothing_is_announced_that_no_rule_is_there_for() {
        let mut serving = serving();
        announced(&serving, 0);
        serving.note(Rules::Late, None);
        announced(&serving, 0);
        serving.note(Rules::Current, None);
        announced(&serving, 2);
    }

    #[test]
    fn what_is_announced_stays_when_newer_rules_are_refused() {
        let mut serving = serving();
        serving.note(Rules::Current, None);
        announced(&serving, 2);
        serving.learn(Arc::default(), Vpcs::new());
        serving.note(Rules::Late, None);
        announced(&serving, 2);
        assert!(serving.serve(true, true).served);
        serving.note(Rules::Current, None);
        announced(&serving, 0);
    }

    #[test]
    fn services_are_served_by_rules_and_ports_together() {
        let mut serving = serving();
        assert!(!serving.serve(true, true).served);
        serving.note(Rules::Current, None);
        assert!(serving.serve(true, true).served);
        assert!(!serving.serve(true, false).served);
    }
}
