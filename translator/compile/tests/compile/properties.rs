//! Whatever happens to a cluster, in whatever order: incremental equals full, the delta tells all, and what answers where is
//! what kube-proxy would have.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

mod attachments;
mod checks;
mod generators;
mod oracle;
mod policies;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use meridian_compile::{Compiler, Peering};
use meridian_model::{Event, Key, Object};
use proptest::prelude::*;

use self::checks::{Mirror, all_links, all_rows, check_consistency, check_equal, from_scratch, problems, scramble};
use self::generators::{Step, claims, configs, events, objects, steps};
use self::oracle::check_locality;
use self::policies::check_policies;

proptest! {
    #[test]
    fn incremental_equals_full(config in configs(), steps in steps(), salt in any::<u64>()) {
        let mut compiler = Compiler::new(config);
        let mut mirror = Mirror::default();
        for step in steps.into_iter().chain([Step::Compile]) {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Piece(units) => {
                    let delta = compiler.compile_piece(units);
                    mirror.follow(&delta, compiler.desired());
                }
                Step::Compile => {
                    let delta = compiler.compile();
                    prop_assert!(!compiler.is_pending());
                    mirror.follow(&delta, compiler.desired());
                    prop_assert_eq!(&mirror.rows, &all_rows(compiler.desired()));
                    prop_assert_eq!(&mirror.links, &all_links(compiler.desired()));
                    check_consistency(compiler.desired());
                    check_locality(&compiler);
                    check_policies(&compiler);
                    check_equal(&compiler, &from_scratch(&compiler, Object::key));
                }
            }
        }
        check_equal(&compiler, &from_scratch(&compiler, scramble(salt)));
        prop_assert!(compiler.compile().is_empty(), "nothing changed, so nothing is to be compared");
        let claims = compiler.claims();
        compiler.claim(claims);
        prop_assert!(compiler.compile().is_empty(), "what is so already can be claimed without effect");
        check_equal(&compiler, &from_scratch(&compiler, Object::key));
    }

    #[test]
    fn what_a_piece_says_is_the_last_word(
        config in configs(),
        claims in prop::collection::vec(claims(), 0..6),
        events in prop::collection::vec(events(), 0..40),
        units in 1usize..5,
    ) {
        let mut compiler = Compiler::new(config);
        compiler.claim(claims);
        for event in events {
            compiler.apply(event);
        }
        let mut said = Mirror::default();
        while compiler.is_pending() {
            let delta = compiler.compile_piece(units);
            for id in &delta.rows {
                prop_assert!(!said.rows.contains_key(id), "{id:?} is spoken of twice");
            }
            said.follow(&delta, compiler.desired());
        }
        prop_assert_eq!(&said.rows, &all_rows(compiler.desired()));
        prop_assert_eq!(&said.links, &all_links(compiler.desired()));
        check_equal(&compiler, &from_scratch(&compiler, Object::key));
    }

    #[test]
    fn without_claims_the_order_of_objects_does_not_matter(
        config in configs(),
        objects in prop::collection::vec(objects(), 0..25),
        salt in any::<u64>(),
    ) {
        let objects: BTreeMap<Key, Object> = objects.into_iter().map(|object| (object.key(), object)).collect();
        let compile = |objects: Vec<Object>| {
            let mut compiler = Compiler::new(config.clone());
            for object in objects {
                compiler.apply(Event::Apply(object));
            }
            compiler.compile();
            compiler
        };
        let mut shuffled: Vec<Object> = objects.values().cloned().collect();
        shuffled.sort_by_cached_key(scramble(salt));
        check_equal(&compile(objects.into_values().collect()), &compile(shuffled));
    }
}

/// What problems say, and what that stands for.
const TELLING: &[(&str, &str)] = &[
    ("older and keeps it: delete", "two pods with one address"),
    ("older and keeps it: give", "two nodes with one CIDR"),
    ("no free address", "an exhausted slice"),
    ("no free slice", "exhausted cluster CIDRs"),
    ("has no slice", "a pod on a node without a slice"),
    ("does not exist", "a pod on an unknown node"),
    ("is not in its node's slice", "an address from elsewhere"),
    ("is reserved in", "an address that is reserved"),
    ("is not a network", "a CIDR that does not parse"),
    ("has no room for a gateway", "a CIDR that is too small"),
    ("is not in the cluster CIDRs", "a CIDR from elsewhere"),
    ("has no address", "a service without an address"),
    ("is in the cluster CIDR", "a service under a pod's address"),
    ("is also that of spec.ports[0]", "a service with one port twice"),
    ("is a loopback address", "an endpoint that cannot be reached"),
    ("is none of TCP", "a protocol nobody balances"),
    (
        "of the nodes (tcp) is that of service",
        "two services with one port of the nodes",
    ),
    (
        "is also that of spec.ports[0], which keeps it: give one of them another nodePort",
        "a port of the nodes twice",
    ),
    ("is not among the ports of nodes", "a port that nodes do not give"),
    (
        "which has it for a ClusterIP",
        "an external address that is a ClusterIP",
    ),
    ("stands for nodes", "an external address that is nobody's"),
    ("leads nowhere", "an external address without a family"),
    ("is no network: nobody", "a source range that is none"),
    ("is in the service CIDR", "an external address in a service CIDR"),
    ("is not in the service CIDRs", "a ClusterIP of no service CIDR"),
    ("overlaps the cluster CIDR", "a service CIDR of pods"),
    ("is no range of addresses", "a pool's range that is none"),
    ("in no node's slice of it", "an endpoint by hand that nothing can have"),
    (
        "would not overlap what the node has",
        "two VPCs of one network on a node",
    ),
    ("no free address of VPC", "an exhausted slice of a VPC"),
    ("is not known, which tells the VPC", "a namespace that is not known"),
    ("is being deleted: nothing new", "a VPC that goes"),
    ("is not ready:", "a VPC that cannot be used"),
    ("overlaps the cluster CIDR 1", "a VPC with a network of the cluster's"),
    ("is selected by VPC", "a namespace that two VPCs select"),
    ("overlaps the address", "a VPC with a node's address"),
    ("which was there before", "a node with an address of a VPC"),
    ("cannot be the name of a VPC", "a name that none can have"),
    ("since before namespace", "a service with endpoints of another VPC"),
    ("or reserve fewer addresses", "an exhausted Subnet"),
    (
        "whose host could not tell them apart",
        "two pods with one address on a node",
    ),
    ("of the same VPC: take another", "two Subnets of a VPC that overlap"),
    ("of VPC blue: take another", "a Subnet with a VPC's network"),
    ("of Subnet s of VPC", "a VPC with an older Subnet's network"),
    ("name a Subnet of VPC", "a pod in another VPC than its Subnet"),
    ("there is no Subnet", "a Subnet that there is not"),
    ("there is no VPC unheard", "a Subnet of no VPC"),
    ("has no Subnets", "a Subnet of the default VPC"),
    ("cannot be the name of a Subnet", "a name that no Subnet can have"),
    ("has no network of IPv6", "a Subnet of a family that its VPC has not"),
    ("is in none of spec.cidrs", "a gateway from elsewhere"),
    ("nothing is reserved by it", "a range that is none"),
    ("Subnet s is being deleted", "a Subnet that goes"),
    ("where the pod is: take", "an address that is asked for elsewhere"),
    ("is no pod's in", "an address that is asked for and no pod's"),
    ("write it like \"10.20", "an annotation that makes no sense"),
    ("neither in the label", "a range for a pod without ordinal"),
    ("pods that name no other Subnet wait", "a VPC whose Subnet there is not"),
    ("no node has the labels", "a VPC without gateways"),
    (
        "where hosts look for VPCs' routers",
        "a node with an address of the egress network",
    ),
    ("only for virtual machines", "a pod in a VPC for virtual machines"),
    ("only for pods that are no", "a virtual machine in a VPC for pods"),
    ("this block is passed over", "a policy's block that is no network"),
    ("rather than allow what it excepts", "an exception that is no network"),
    ("is not inside", "an exception from elsewhere"),
    ("is none of TCP, UDP, SCTP: this port", "a policy's port of no protocol"),
    ("is a name of pods' ports", "a name for a port of addresses"),
];

#[test]
fn the_generator_reaches_the_cases_that_matter() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut compared = 0;
    let cases = || {
        let told = TELLING.iter().map(|&(_, case)| case);
        told.chain(PLACES).chain([CONSENT, REFUSED_CONSENT])
    };
    // The rarest comes about once in a thousand.
    for _ in 0..6000 {
        if compared > 1000 && cases().all(|case| seen.contains(case)) {
            break;
        }
        let config = configs().new_tree(&mut runner).unwrap().current();
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let mut compiler = Compiler::new(config);
        for step in steps {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Compile => {
                    compiler.compile();
                    compared += check_locality(&compiler);
                }
                Step::Piece(units) => drop(compiler.compile_piece(units)),
            }
            let problems = problems(&compiler);
            seen.extend(spread(&compiler));
            seen.extend(connected_by(&compiler));
            let found = TELLING
                .iter()
                .filter(|(text, _)| problems.iter().any(|problem| problem.message.contains(text)));
            seen.extend(found.map(|&(_, case)| case));
        }
    }
    let missed: Vec<&str> = cases().filter(|case| !seen.contains(case)).collect();
    assert!(missed.is_empty(), "never generated: {missed:?}");
    assert!(compared > 1000, "only {compared} frontends were compared");
}

const CONSENT: &str = "two VPCs that are peers by a consent";
const REFUSED_CONSENT: &str = "a consent that is refused";

fn connected_by(compiler: &Compiler) -> impl Iterator<Item = &'static str> {
    compiler
        .vpc_peerings()
        .into_iter()
        .filter_map(|report| match report.peering {
            Peering::Connected => Some(CONSENT),
            Peering::Refused(_) => Some(REFUSED_CONSENT),
            Peering::Waiting(_) => None,
        })
}

/// What stands for each place that load balancers are for.
const PLACES: [&str; 5] = ["tcp@zone/", "tcp@zone/east", "tcp@node/a", "tcp@rest/", "tcp@rest/east"];

fn spread(compiler: &Compiler) -> impl Iterator<Item = &'static str> {
    let rows = || compiler.desired().rows("Load_Balancer");
    PLACES
        .into_iter()
        .filter(move |place| rows().any(|row| row.key.ends_with(place)))
}
