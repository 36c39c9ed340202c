//! A real Kubernetes on Meridian, in short: nodes, a Deployment with every kind of probe, names, the API and services from
//! pods and hosts, a look into pods, and hosts that lose power, come and go.
//!
//! One cluster for all of it, because it takes long to come up; each step says what it shows. The long form is
//! `make conformance`.

#[path = "../common/mod.rs"]
mod common;
mod further;
mod steps;

use common::{Place, binaries, possible};
use meridian_lab::kubernetes::Distribution;
use meridian_lab::lab::Lab;
use meridian_lab::plan::{Families, Options};
use meridian_lab::ui::Ui;

use crate::steps::Cluster;

#[test]
fn kubernetes_lives_on_meridian() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let options = Options {
        hosts: 2,
        kubernetes: Some(Distribution::find().unwrap_or_else(|e| panic!("{e}"))),
        ..place.options(Families::Dual, false)
    };
    let (lab, _) = Lab::up(&place.dir, options, None, binaries(), Ui::stderr()).unwrap_or_else(|e| panic!("up: {e}"));
    lab.await_dns().unwrap_or_else(|e| panic!("{e}"));
    let mut cluster = Cluster::new(lab);
    cluster.nodes_say_that_their_network_is_there();
    cluster.workloads_become_ready_by_every_kind_of_probe();
    cluster.pods_resolve_names_and_reach_services();
    cluster.pods_and_hosts_reach_the_api_by_its_cluster_ip();
    cluster.ports_of_nodes_lead_to_services();
    cluster.kubelet_and_plugin_give_pods_what_they_ask_for();
    cluster.people_look_into_pods();
    cluster.a_pod_without_an_address_says_why();
    cluster.multus_gives_pods_interfaces_in_another_vpc();
    cluster.a_pod_that_is_made_anew_has_its_interfaces_again();
    cluster.an_interface_that_nobody_gives_is_told_of_on_the_pod();
    cluster.a_host_that_lost_power_comes_back_whole();
    cluster.a_host_that_is_gone_leaves_no_row();
}
