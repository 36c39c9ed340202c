//! Daemons die by kill -9 and come back: the network is whole again, and pods keep addresses.

mod common;

use common::{TestLab, possible};
use meridian_lab::cluster::object::Key;
use meridian_lab::cluster::{self};
use meridian_lab::component::Component;
use meridian_lab::plan::Families;

/// Kills what `component` names, brings it back, and wants all packets and all addresses back.
fn survives(component: &str) {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    lab.assert_all_reach_all();
    let addresses = |lab: &TestLab| {
        let pods = lab.pods();
        pods.iter().map(|p| p.0["status"]["podIPs"].clone()).collect::<Vec<_>>()
    };
    let before = addresses(&lab);
    lab.crash(component);
    lab.await_all_reach_all(&format!("a crash of {component}"));
    assert_eq!(addresses(&lab), before);
    // And it works: a new pod is plugged.
    cluster::delete(&lab.lab, &[Key::new("Pod", "shop", "db-1")]).expect("db-1 has a successor");
    lab.await_all_reach_all(&format!("a new pod after a crash of {component}"));
}

#[test]
fn a_killed_translator_comes_back_without_a_trace() {
    survives("translator");
}

#[test]
fn killed_agents_come_back_without_a_trace() {
    survives("agent");
}

#[test]
fn killed_ovn_controllers_come_back() {
    survives("controller");
}

#[test]
fn a_killed_ovs_vswitchd_comes_back_with_management_port_and_tunnels() {
    survives("node-1/vswitchd");
}

#[test]
fn a_killed_northbound_server_comes_back() {
    survives("nb");
}

#[test]
fn a_killed_southbound_server_comes_back() {
    survives("sb");
}

#[test]
fn a_restarted_translator_writes_nothing() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    // Every transaction that changes a row makes the database's file longer.
    let file = lab.lab.plan().central_run().join("ovnnb_db.db");
    let written = || std::fs::metadata(&file).expect("NB has a file").len();
    let before = written();
    lab.crash("translator");
    assert_eq!(written(), before);
}

#[test]
fn a_wiped_northbound_database_is_rebuilt_and_pods_keep_their_addresses() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    let (plan, processes) = (lab.lab.plan(), lab.lab.processes());
    let addresses = || {
        let pods = lab.pods();
        pods.iter().map(|p| p.0["status"]["podIPs"].clone()).collect::<Vec<_>>()
    };
    let before = addresses();
    for role in ["translator", "nb"] {
        let component = &Component::select(plan, role).expect("a component")[0];
        processes.crash(&component.pid_name()).expect("it dies");
    }
    std::fs::remove_file(plan.central_run().join("ovnnb_db.db")).expect("NB has a file");
    lab.lab.repair().expect("both start");
    lab.await_all_reach_all("NB was wiped");
    cluster::delete(&lab.lab, &[Key::new("Pod", "shop", "db-1")]).expect("db-1 has a successor");
    lab.await_all_reach_all("a new pod after NB was wiped");
    let kept = addresses().iter().filter(|ips| before.contains(ips)).count();
    assert!(kept >= before.len() - 1, "all but the new pod keep their addresses");
}

#[test]
fn packets_flow_while_everything_of_meridian_is_dead() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::Dual);
    for role in ["translator", "agent"] {
        for component in Component::select(lab.lab.plan(), role).unwrap() {
            lab.lab.processes().crash(&component.pid_name()).unwrap();
        }
    }
    lab.assert_all_reach_all();
}

#[test]
fn a_pod_deleted_while_the_agent_is_dead_leaves_nothing_on_its_host() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::V4);
    for component in Component::select(lab.lab.plan(), "agent").unwrap() {
        lab.lab.processes().crash(&component.pid_name()).unwrap();
    }
    cluster::delete(&lab.lab, &[Key::new("StatefulSet", "shop", "db")]).unwrap();
    for host in lab.lab.plan().hosts() {
        let args = ["--bare", "--columns=external_ids", "list", "Interface"];
        let interfaces = lab.lab.vsctl(&host, &args).unwrap();
        assert!(!interfaces.contains("shop_db-"), "{}: {interfaces}", host.name);
    }
}
