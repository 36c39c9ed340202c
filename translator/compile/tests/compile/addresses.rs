//! Which addresses each pod gets.

use meridian_compile::Claim;
use meridian_model::{Event, Key, Node, Pod, PodKey};

use crate::support::{Lab, config};

/// One node with slice 10.0.0.0/29: pods can have .4 to .6.
fn small() -> Lab {
    Lab::new(config(&["10.0.0.0/16"], 29, 64)).with(Node::test("a"))
}

fn pod(name: &str) -> Pod {
    Pod::test("x", name).on("a")
}

fn claim(name: &str, uid: &str, ips: &[&str]) -> Claim {
    let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    Claim::Pod {
        port: PodKey::new("x", name).into(),
        uid: uid.into(),
        vpc: "default".into(),
        ips,
    }
}

const NONE: [&str; 0] = [];

#[test]
fn the_status_of_a_pod_is_the_record() {
    let lab = small().with(pod("p").with_ips(["10.0.0.5"]));
    assert_eq!(lab.ips("x_p"), ["10.0.0.5/29"]);
}

#[test]
fn a_status_goes_before_a_claim() {
    let lab = small().with(pod("p").with_ips(["10.0.0.5"]));
    assert_eq!(
        lab.restarted_with(vec![claim("p", "p-uid", &["10.0.0.6"])]).ips("x_p"),
        ["10.0.0.5/29"]
    );
}

#[test]
fn a_claim_keeps_a_pods_address_before_its_status_is_written() {
    let lab = small().with(pod("p")).with(pod("q"));
    let lab = lab.restarted_with(vec![claim("q", "q-uid", &["10.0.0.4"])]);
    assert_eq!(
        (lab.ips("x_q"), lab.ips("x_p")),
        (vec!["10.0.0.4/29".into()], vec!["10.0.0.5/29".into()])
    );
}

#[test]
fn a_claim_of_another_pod_of_the_same_name_is_void() {
    let lab = small()
        .with(pod("p"))
        .restarted_with(vec![claim("p", "former", &["10.0.0.6"])]);
    assert_eq!(lab.ips("x_p"), ["10.0.0.4/29"]);
    assert_eq!(lab.0.claims().len(), 2, "the slice's and the pod's new one");
}

#[test]
fn claims_of_pods_that_are_gone_are_forgotten() {
    let lab = small().restarted_with(vec![claim("gone", "gone-uid", &["10.0.0.4"])]);
    assert_eq!(lab.0.claims().len(), 1, "the slice's");
    assert_eq!(lab.with(pod("p")).ips("x_p"), ["10.0.0.4/29"]);
}

#[test]
fn a_status_written_later_wins_the_address_from_a_pod_that_was_given_it() {
    let lab = small()
        .with(pod("given"))
        .with(pod("recorded").created_at(9).with_ips(["10.0.0.4"]));
    assert_eq!(
        (lab.ips("x_recorded"), lab.ips("x_given")),
        (vec!["10.0.0.4/29".into()], vec!["10.0.0.5/29".into()])
    );
}

#[test]
fn of_two_pods_with_one_address_the_older_keeps_it() {
    let mut lab = small()
        .with(pod("young").created_at(2).with_ips(["10.0.0.4"]))
        .with(pod("old").created_at(1).with_ips(["10.0.0.4"]));
    assert_eq!((lab.ips("x_old").len(), lab.ips("x_young").len()), (1, 0));
    assert_eq!(
        lab.problems(),
        [
            "pod/x/young: status.podIPs: 10.0.0.4 of pod x/young is also that of pod x/old, which is older and keeps it: \
          delete one of them"
        ]
    );
    lab.delete(Key::pod("x", "old"));
    assert_eq!(lab.ips("x_young"), ["10.0.0.4/29"]);
    assert_eq!(lab.problems(), NONE);
}

#[test]
fn of_two_pods_of_one_age_the_name_decides() {
    let lab = small()
        .with(pod("q").with_ips(["10.0.0.4"]))
        .with(pod("p").with_ips(["10.0.0.4"]));
    assert_eq!((lab.ips("x_p").len(), lab.ips("x_q").len()), (1, 0));
}

#[test]
fn a_status_outside_the_nodes_slice_is_refused() {
    let lab = small().with(pod("p").with_ips(["10.0.0.9"]));
    assert_eq!(lab.ips("x_p"), NONE);
    assert_eq!(
        lab.problems(),
        ["pod/x/p: status.podIPs: 10.0.0.9 is not in its node's slice 10.0.0.0/29: delete the pod to give it another"]
    );
}

#[test]
fn a_status_with_a_reserved_address_is_refused() {
    for ip in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.7"] {
        let lab = small().with(pod("p").with_ips([ip]));
        assert!(
            lab.problems()[0].contains(&format!("{ip} is reserved in 10.0.0.0/29")),
            "{:?}",
            lab.problems()
        );
    }
}

#[test]
fn a_status_with_two_addresses_of_a_family_is_refused() {
    let lab = small().with(pod("p").with_ips(["10.0.0.4", "10.0.0.5"]));
    assert!(lab.problems()[0].contains("10.0.0.5 is a second address of its family"));
}

#[test]
fn a_pod_that_finds_the_slice_exhausted_gets_an_address_once_one_is_free() {
    let mut lab = ["p", "q", "r", "t"]
        .into_iter()
        .fold(small(), |lab, name| lab.with(pod(name)));
    assert_eq!(
        lab.problems(),
        [
            "pod/x/t: status.podIPs: node a has no free address: all 3 pod addresses of 10.0.0.0/29 are in use; the pod \
          gets one as soon as another pod is gone, or give the node a larger podCIDR"
        ]
    );
    lab.delete(Key::pod("x", "q"));
    assert_eq!(lab.ips("x_t"), ["10.0.0.5/29"]);
    assert_eq!(lab.problems(), NONE);
}

#[test]
fn of_waiting_pods_the_oldest_is_served_first() {
    let full = ["p", "q", "r"]
        .into_iter()
        .fold(small(), |lab, name| lab.with(pod(name)));
    let mut lab = full.with(pod("young").created_at(2)).with(pod("old").created_at(1));
    lab.delete(Key::pod("x", "p"));
    assert_eq!((lab.ips("x_old").len(), lab.ips("x_young").len()), (1, 0));
}

#[test]
fn a_larger_pod_cidr_gives_waiting_pods_addresses_and_leaves_the_others_theirs() {
    let mut lab = ["p", "q", "r", "t"]
        .into_iter()
        .fold(small(), |lab, name| lab.with(pod(name)));
    lab.apply(Node::test("a").with_cidrs(["10.0.0.0/28"]));
    assert_eq!(lab.ips("x_r"), ["10.0.0.6/28"]);
    assert_eq!(lab.ips("x_t"), ["10.0.0.7/28"]);
}

#[test]
fn a_released_address_is_reused_last() {
    let mut lab = small().with(pod("p"));
    lab.delete(Key::pod("x", "p"));
    let lab = ["q", "r", "t"].into_iter().fold(lab, |lab, name| lab.with(pod(name)));
    assert_eq!(lab.ips("x_q"), ["10.0.0.5/29"]);
    assert_eq!(lab.ips("x_t"), ["10.0.0.4/29"]);
}

#[test]
fn an_address_recorded_by_a_pod_that_lost_it_all_is_not_given_away() {
    let dual = Lab::new(config(&["10.0.0.0/16", "fd00::/48"], 29, 64)).with(Node::test("a"));
    let lab = dual
        .with(pod("old").with_ips(["10.0.0.5", "fd00::5"]))
        .with(pod("young").created_at(1).with_ips(["10.0.0.4", "fd00::5"]))
        .with(pod("asking").created_at(2));
    assert_eq!(lab.ips("x_young"), NONE);
    assert_eq!(lab.ips("x_asking")[0], "10.0.0.6/29");
}

#[test]
fn a_pod_that_recorded_one_family_only_keeps_to_it() {
    let lab = Lab::of(&["10.0.0.0/16", "fd00::/48"])
        .with(Node::test("a"))
        .with(pod("p").with_ips(["10.0.0.5"]));
    assert_eq!(lab.ips("x_p"), ["10.0.0.5/24"]);
}

#[test]
fn exhaustion_of_one_family_keeps_a_dual_stack_pod_waiting_for_both() {
    let dual = Lab::new(config(&["10.0.0.0/16", "fd00::/48"], 29, 64)).with(Node::test("a"));
    let lab = ["p", "q", "r", "t"]
        .into_iter()
        .fold(dual, |lab, name| lab.with(pod(name)));
    assert_eq!(lab.ips("x_t"), NONE);
    assert!(lab.problems()[0].contains("all 3 pod addresses of 10.0.0.0/29 are in use; the pod"));
}

#[test]
fn what_a_pod_waits_for_is_kept_up_to_date() {
    let dual = Lab::new(config(&["10.0.0.0/16", "fd00::/120"], 29, 125)).with(Node::test("a"));
    let mut lab = ["p", "q", "r", "t"]
        .into_iter()
        .fold(dual, |lab, name| lab.with(pod(name)));
    assert!(lab.problems()[0].contains("address: all 3 pod addresses of 10.0.0.0/29 are in use; the pod"));
    lab.apply(pod("six").with_ips(["fd00::7"]));
    assert!(
        lab.problems()[0].contains("10.0.0.0/29 are in use, all 4 pod addresses of fd00::/125 are in use; the pod")
    );
    lab.delete(Key::pod("x", "six"));
    assert!(lab.problems()[0].contains("address: all 3 pod addresses of 10.0.0.0/29 are in use; the pod"));
}

#[test]
fn pods_keep_their_addresses_while_their_node_is_away() {
    let mut lab = small().with(pod("p")).with(pod("q"));
    lab.delete(Key::pod("x", "p"));
    lab.delete(Key::node("a"));
    assert_eq!(lab.ips("x_q"), NONE);
    lab.apply(Node::test("a"));
    assert_eq!(lab.ips("x_q"), ["10.0.0.5/29"]);
}

#[test]
fn everything_keeps_its_address_over_a_restart() {
    let mut lab = ["p", "q", "r"]
        .into_iter()
        .fold(small(), |lab, name| lab.with(pod(name)));
    lab.delete(Key::pod("x", "q"));
    lab.apply(pod("s").created_at(5));
    assert_eq!(lab.dump(), lab.restarted().dump());
}

#[test]
fn a_standby_that_becomes_the_writer_takes_over_what_was_handed_out() {
    let leader = small().with(pod("q")).with(pod("p"));
    let mut standby = small().with(pod("p")).with(pod("q"));
    assert_ne!(standby.dump(), leader.dump());
    standby.0.claim(leader.0.claims());
    let delta = standby.0.compile();
    assert_eq!(standby.dump(), leader.dump());
    assert_eq!(
        (delta.rows.len(), delta.links.len()),
        (2, 0),
        "only what is different is compared again"
    );
}

#[test]
fn a_standby_that_becomes_the_writer_keeps_what_nobody_contradicts() {
    let mut standby = small()
        .with(pod("old"))
        .with(pod("other"))
        .with(pod("young").created_at(1));
    standby.0.claim([claim("young", "young-uid", &["10.0.0.4"])]);
    standby.0.compile();
    assert_eq!(standby.ips("x_young"), ["10.0.0.4/29"], "it may be in use already");
    assert_eq!(standby.ips("x_other"), ["10.0.0.5/29"]);
    assert_eq!(standby.ips("x_old"), ["10.0.0.6/29"]);
}

#[test]
fn a_node_that_goes_while_a_standby_takes_over_leaves_no_rows() {
    let mut standby = small().with(pod("p"));
    standby.0.apply(Event::Delete(Key::node("a")));
    standby.0.claim([]);
    standby.0.compile();
    assert_eq!(standby.slice("a"), NONE);
    assert_eq!(standby.ips("x_p"), NONE);
    assert!(standby.problems()[0].contains("node a does not exist"));
}
