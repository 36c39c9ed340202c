//! Clients that stay with an endpoint.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meridian_lab::wait;

use crate::client::{self, AT_ONCE, Outcome, Talker};
use crate::cluster::{Cluster, OUTSIDE, shared};
use crate::service::{Frontend, Service};

/// How often a client asks that must always meet the same.
const OFTEN: usize = 16;

/// Less than TCP waits before it sends again what was lost, by which OVN would learn anew.
const FIRST: Duration = Duration::from_millis(700);

/// Affinity of so many seconds ends while a test waits.
const SHORT: u32 = 1;

type Ask = fn(SocketAddr, Duration) -> Outcome;

fn answer(talker: &Talker) -> Option<Outcome> {
    Some(talker.say()).filter(|outcome| matches!(outcome, Outcome::Answer { .. }))
}

/// Whom a client always meets, by TCP and by UDP.
fn stays(cluster: &Cluster, who: &str, at: Frontend) -> [String; 2] {
    let ask: [(u16, Ask); 2] = [(at.tcp, client::over_tcp), (at.udp, client::over_udp)];
    ask.map(|(port, ask)| {
        let to = SocketAddr::new(at.ip, port);
        cluster.within(who, || {
            let mut last = BTreeSet::new();
            let always = wait::until(wait::PATIENCE, || {
                // The packets that make an association are lost: OVN learns from them and does nothing else with them.
                // What it learned last counts, and on a busy machine that may be after the first answer. Who is sent to
                // either by chance meets one so often in a row once in sixty thousand times.
                matches!(ask(to, FIRST), Outcome::Answer { .. }).then_some(())?;
                let met = (0..OFTEN)
                    .map(|_| ask(to, AT_ONCE))
                    .filter(|outcome| *outcome != Outcome::Lost);
                last = met.map(|outcome| outcome.to_string()).collect();
                last.first().filter(|_| last.len() == 1).cloned()
            });
            always.unwrap_or_else(|| panic!("{who} to {to}: {last:?}"))
        })
    })
}

/// Each pair of these is a client and a frontend of its own to the load balancer that remembers it: of several first packets
/// at once the last is remembered.
fn all_stay(cluster: &Cluster, service: &Service) {
    cluster.route(service.balancer().map(|at| at.ip), "node-2");
    let nodes = service.at_nodes(cluster.host_ips("node-3"));
    let [cluster_ips, balancer] = [service.cluster(), service.balancer()].map(Vec::from);
    std::thread::scope(|scope| {
        for (who, to) in [
            ("client", &cluster_ips),
            ("client", &balancer),
            ("web-2", &balancer),
            ("node-1", &cluster_ips),
            (OUTSIDE, &balancer),
            (OUTSIDE, &nodes),
        ] {
            for &at in to {
                scope.spawn(move || stays(cluster, who, at));
            }
        }
    });
}

#[test]
fn a_client_stays_with_one_endpoint_while_affinity_lasts() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("sticky", 50)
        .balanced()
        .sticky(10_800)
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    cluster.put(&service);
    all_stay(&cluster, &service);
}

#[test]
fn a_client_stays_for_longer_than_ovn_can_remember() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("day", 51)
        .balanced()
        .sticky(86_400)
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("web-2")]);
    cluster.put(&service);
    all_stay(&cluster, &service);
}

#[test]
fn a_client_from_beyond_stays_with_one_endpoint_of_the_node() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("stuck", 52)
        .balanced()
        .local()
        .sticky(60)
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("client")]);
    cluster.put(&service);
    cluster.route(service.balancer().map(|at| at.ip), "node-1");
    let nodes = service.at_nodes(cluster.host_ips("node-1"));
    for at in service.balancer().into_iter().chain(nodes) {
        stays(&cluster, OUTSIDE, at);
    }
}

/// Time after time, until somebody else is met: the chance that it takes ten turns is one of 512.
#[test]
fn a_client_is_free_when_affinity_is_over() {
    let Some(cluster) = shared() else { return };
    let service = Service::new("brief", 53)
        .balanced()
        .sticky(SHORT)
        .answered_by(&[cluster.endpoint("web-1"), cluster.endpoint("client")]);
    cluster.route(service.balancer().map(|at| at.ip), "node-1");
    let [four, six] = service.balancer();
    for (service, who, at) in [
        (service.clone(), "web-2", service.cluster()[0]),
        (service.clone().local(), OUTSIDE, four),
        (service.local(), OUTSIDE, six),
    ] {
        cluster.put(&service);
        let to = SocketAddr::new(at.ip, at.udp);
        let mut met = BTreeSet::new();
        let free = wait::until(wait::PATIENCE, || {
            // The first is lost, and the next must not be too late.
            let talker = || Talker::new(to, Duration::from_millis(200)).expect("a socket");
            if let Some(Outcome::Answer { pod, .. }) =
                cluster.within(who, || wait::until(wait::PATIENCE, || answer(&talker())))
            {
                met.insert(pod);
            }
            let over = |since: Instant| (since.elapsed() > Duration::from_secs((SHORT + 1).into())).then_some(());
            let now = Instant::now();
            wait::until(wait::PATIENCE, || over(now));
            (met.len() == 2).then_some(())
        });
        assert!(free.is_some(), "{who} to {to} only ever met {met:?}");
    }
}
