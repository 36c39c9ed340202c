//! The rules of `machine`, in simulation.

use std::time::Duration;

use proptest::prelude::*;

use super::simulation::{SECOND, Wire, ms};

#[test]
fn the_first_of_the_list_announces_at_once() {
    for seed in 0..100 {
        let mut wire = Wire::new(4, seed);
        wire.run(ms(400));
        assert_eq!(wire.holders(), [0], "seed {seed}");
        wire.run(60 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn the_next_of_the_list_takes_over_within_three_seconds() {
    for seed in 0..300 {
        let mut wire = Wire::settled(4, seed);
        wire.kill(0);
        wire.run(3 * SECOND);
        assert_eq!(wire.holders(), [1], "seed {seed}");
        assert!(wire.gap <= ms(3000), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn the_third_takes_over_from_two_that_died_within_four_seconds() {
    for seed in 0..300 {
        let mut wire = Wire::settled(4, seed);
        wire.kill(0);
        wire.kill(1);
        wire.run(4 * SECOND);
        assert_eq!(wire.holders(), [2], "seed {seed}");
        assert!(wire.gap <= ms(3500), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn one_that_comes_back_leaves_the_address_where_it_is() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.kill(0);
        wire.run(5 * SECOND);
        wire.start(0);
        wire.gap = Duration::ZERO;
        wire.run(60 * SECOND);
        assert_eq!((wire.holders(), wire.gap), (vec![1], Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn one_that_was_away_for_two_seconds_announces_again_alone() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.kill(0);
        wire.run(ms(1200));
        wire.start(0);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn a_new_order_moves_the_address_without_a_gap_whoever_hears_of_it_first() {
    for seed in 0..500 {
        let mut wire = Wire::settled(4, seed);
        let delays: Vec<_> = (0..4).map(|_| wire.random(900)).collect();
        // To one that stood by, or to one that was last.
        let list = if seed % 2 == 0 { [1, 0, 2, 3] } else { [3, 1, 2, 0] };
        wire.list(&list, &delays);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [list[0]], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn a_list_of_others_moves_the_address_without_a_gap() {
    for seed in 0..500 {
        let mut wire = Wire::settled(4, seed);
        wire.list(&[0, 1], &[0; 4]);
        wire.run(5 * SECOND);
        let delays: Vec<_> = (0..4).map(|_| wire.random(400)).collect();
        wire.list(&[2, 3], &delays);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [2], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn a_new_first_that_is_dead_moves_nothing() {
    let mut wire = Wire::settled(3, 7);
    wire.kill(1);
    wire.list(&[1, 0, 2], &[0, 0, 0]);
    wire.run(60 * SECOND);
    assert_eq!((wire.holders(), wire.gap), (vec![0], Duration::ZERO));
}

#[test]
fn one_that_leaves_hands_over() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.list(&[1, 2], &[0, 50, 50]);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [1], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn an_address_that_nobody_wants_is_let_go() {
    let mut wire = Wire::settled(3, 1);
    wire.list(&[], &[0, 10, 20]);
    wire.run(3 * SECOND);
    assert!(wire.nodes.iter().all(|at| at.machine.is_none()));
}

#[test]
fn parts_of_a_network_that_meet_again_agree_on_the_first_of_the_list() {
    for seed in 0..100 {
        let mut wire = Wire::settled(4, seed);
        for number in 2..4 {
            wire.nodes[number].side = true;
        }
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [0, 2], "seed {seed}");
        for at in &mut wire.nodes {
            at.side = false;
        }
        wire.run(12 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn what_stands_by_is_cheap() {
    let mut wire = Wire::settled(6, 3);
    let before = wire.sent;
    wire.run(60 * SECOND);
    // Two ask every second, the others every three, four and five; each is answered; and announcements.
    let frames = wire.sent - before;
    assert!((300..420).contains(&frames), "{frames} frames in a minute");
}

#[derive(Debug, Clone)]
enum Event {
    Kill(usize),
    Start(usize),
    Side(usize, bool),
    Loss(u64),
    List(Vec<usize>, Vec<u64>),
    Wait(u64),
}

fn event(nodes: usize) -> impl Strategy<Value = Event> {
    let order = Just((0..nodes).collect::<Vec<_>>()).prop_shuffle();
    let delays = prop::collection::vec(0..3000_u64, nodes);
    prop_oneof![
        2 => (0..nodes).prop_map(Event::Kill),
        2 => (0..nodes).prop_map(Event::Start),
        2 => (0..nodes, any::<bool>()).prop_map(|(node, side)| Event::Side(node, side)),
        1 => (0..500_u64).prop_map(Event::Loss),
        1 => (order, 1..=nodes, delays).prop_map(|(mut order, length, delays)| {
            order.truncate(length);
            Event::List(order, delays)
        }),
        4 => (0..4000_u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened: once it is over, one node announces, as long as one is there; it stays; and when it dies, the best
    /// of those that are left does.
    #[test]
    fn there_is_one_that_announces(events in prop::collection::vec(event(5), 0..40), seed: u64) {
        let mut wire = Wire::new(5, seed);
        for event in events {
            match event {
                Event::Kill(node) => wire.kill(node),
                Event::Start(node) => wire.start(node),
                Event::Side(node, side) => wire.nodes[node].side = side,
                Event::Loss(loss) => wire.loss = loss,
                Event::List(list, delays) => wire.list(&list, &delays),
                Event::Wait(milliseconds) => wire.run(ms(milliseconds)),
            }
        }
        wire.loss = 0;
        for at in &mut wire.nodes {
            at.side = false;
        }
        wire.run(40 * SECOND);
        let mut live: Vec<_> = (0..5).filter(|node| wire.nodes[*node].machine.is_some()).collect();
        live.sort_by_key(|node| wire.nodes[*node].rank);
        let holders = wire.holders();
        prop_assert_eq!(holders.len(), live.len().min(1), "{:?}", wire);
        wire.gap = Duration::ZERO;
        wire.run(30 * SECOND);
        prop_assert_eq!(wire.holders(), holders.clone());
        if let Some(holder) = holders.first() {
            prop_assert_eq!(wire.gap, Duration::ZERO);
            wire.kill(*holder);
            live.retain(|node| node != holder);
            // The fifth of a list asks every four seconds, and waits two more.
            wire.run(9 * SECOND);
            prop_assert_eq!(wire.holders(), live.into_iter().take(1).collect::<Vec<_>>());
        }
    }
}
