use meridian_api::service::{Address, Local, Protocol};

use super::*;

/// A service of both families with one port of TCP.
pub(in crate::agent) fn service(name: &str) -> ServiceFacts {
    ServiceFacts {
        namespace: "shop".into(),
        name: name.into(),
        ports: vec![Port {
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
            targets: ["10.96.0.7:80", "[fd00:10:96::7]:80"]
                .map(|at| at.parse().unwrap())
                .into(),
            endpoints: BTreeMap::new(),
        }],
        addresses: ["198.51.100.7", "2001:db8:1::7"]
            .map(|address| Address {
                address: address.parse().unwrap(),
                restricted: false,
                announcers: vec![],
                interfaces: vec![],
            })
            .into(),
        ..ServiceFacts::default()
    }
}

/// The same, answered by the endpoints of the node alone, of which n1 has these and n2 others.
pub(in crate::agent) fn local(name: &str, endpoints: &[&str]) -> ServiceFacts {
    let mut service = service(name);
    service.ports[0].node_port = Some(30080);
    let parse = |endpoints: &[&str]| endpoints.iter().map(|at| at.parse().unwrap()).collect();
    let elsewhere = parse(&["10.244.2.9:8080", "[fd00:2::9]:8080"]);
    service.ports[0].endpoints = [("n1".to_owned(), parse(endpoints)), ("n2".to_owned(), elsewhere)].into();
    service.local = Some(Local {
        health_check_port: Some(31000),
        ready: [("n1".to_owned(), endpoints.len())].into(),
    });
    service
}

pub(in crate::agent) fn plan(services: impl IntoIterator<Item = ServiceFacts>) -> Plan {
    let services = Services {
        facts: services.into_iter().map(Arc::new).collect(),
        problems: vec![],
        ..Services::default()
    };
    let blue = ["10.8.1.2/24", "fd00:8:1::2/64"].map(|ip| ip.parse().unwrap());
    Plan::new(&services, "n1", &[("blue".to_owned(), blue.into())].into())
}

/// The service of another VPC, of which n1 has these endpoints and n2 others.
pub(in crate::agent) fn of_vpc(name: &str, endpoints: &[&str]) -> ServiceFacts {
    ServiceFacts {
        vpc: Some("blue".into()),
        cluster_ips: ["10.96.0.7", "fd00:10:96::7"].map(|ip| ip.parse().unwrap()).into(),
        local: None,
        ..local(name, endpoints)
    }
}

fn at(address: &str) -> Frontend {
    let address: SocketAddr = address.parse().unwrap();
    Frontend {
        at: At::Address(address.ip()),
        protocol: Protocol::Tcp,
        port: address.port(),
    }
}

#[test]
fn no_service_leads_to_pods_of_another_vpc() {
    let addresses = ["10.8.1.4:8080", "10.244.1.4:8080", "192.0.2.7:8080"];
    let here = |service: ServiceFacts| {
        let plan = plan([service]);
        let endpoints = plan
            .frontends
            .values()
            .filter_map(|handling| handling.here.as_ref())
            .flatten();
        endpoints.map(ToString::to_string).collect::<BTreeSet<_>>()
    };
    assert_eq!(here(of_vpc("web", &addresses)), ["10.8.1.4:8080".to_owned()].into());
    assert_eq!(
        here(local("web", &addresses)),
        ["10.244.1.4:8080", "192.0.2.7:8080"].map(str::to_owned).into()
    );
}

#[test]
fn an_endpoint_in_a_subnet_is_here_if_the_host_reaches_it() {
    let here = |vpcs: &[&str]| {
        let services = Services {
            facts: vec![Arc::new(of_vpc("web", &["10.20.0.5:8080", "10.20.0.6:8080"]))],
            ..Services::default()
        };
        let blue = vpcs.iter().map(|network| network.parse().unwrap()).collect();
        let plan = Plan::new(&services, "n1", &[("blue".to_owned(), blue)].into());
        plan.frontends[&cluster("10.96.0.7:80")].for_anybody().to_vec()
    };
    assert_eq!(
        here(&["10.8.1.2/24", "10.20.0.5/32"]),
        ["10.20.0.5:8080".parse().unwrap()]
    );
    assert_eq!(here(&["10.8.1.2/24"]), []);
}

#[test]
fn an_address_leads_to_the_target_of_its_family() {
    let plan = plan([service("web")]);
    let target = |address| plan.frontends[&at(address)].target.unwrap().to_string();
    assert_eq!(target("198.51.100.7:80"), "10.96.0.7:80");
    assert_eq!(target("[2001:db8:1::7]:80"), "[fd00:10:96::7]:80");
    assert_eq!(
        plan.frontends.len(),
        2,
        "its port of the nodes is not for the host to know"
    );
}

#[test]
fn a_local_service_has_the_endpoints_of_this_node_by_family() {
    let plan = plan([local("web", &["10.244.1.5:8080", "[fd00::5]:8080", "10.244.1.4:8080"])]);
    let here = |frontend: Frontend| plan.frontends[&frontend].here.clone().unwrap();
    assert_eq!(
        here(node(true)),
        ["10.244.1.4:8080", "10.244.1.5:8080"].map(|at| at.parse().unwrap())
    );
    assert_eq!(here(node(false)), ["[fd00::5]:8080".parse().unwrap()]);
    assert_eq!(here(at("198.51.100.7:80")).len(), 2);
    assert_eq!(plan.health_checks[&31000].ready, 3);
}

#[test]
fn where_no_node_has_an_endpoint_the_vpc_answers() {
    let mut service = local("web", &[]);
    let v4 = |frontend: &&Frontend| frontend.is_ipv4();
    let before = plan([service.clone()]);
    let here = |handling: &Handling| handling.for_beyond().map(<[_]>::len);
    assert!(before.frontends.values().all(|handling| here(handling) == Some(0)));
    service.ports[0].endpoints = [("n2".to_owned(), vec!["[fd00:2::9]:8080".parse().unwrap()])].into();
    let after = plan([service]);
    assert_eq!(after.frontends.len(), 4);
    for (frontend, handling) in &after.frontends {
        assert_eq!(here(handling), (!v4(&frontend)).then_some(0), "{frontend}");
    }
}

#[test]
fn a_family_that_the_service_has_not_is_not_served() {
    let mut service = local("web", &[]);
    service.ports[0].targets.truncate(1);
    service.ports[0].endpoints.clear();
    let plan = plan([service]);
    assert!(
        plan.frontends.keys().all(Frontend::is_ipv4),
        "{:?}",
        plan.frontends.keys()
    );
    assert_eq!(plan.frontends.len(), 2);
}

#[test]
fn of_two_services_with_an_address_the_first_by_name_has_it() {
    let plan = plan([service("api"), service("web")]);
    assert!(plan.frontends.values().all(|handling| handling.service.name == "api"));
    assert_eq!(
        plan.problems[0],
        "service shop/web: 198.51.100.7:80/tcp is already that of service shop/api"
    );
}

fn cluster(address: &str) -> Frontend {
    let address: SocketAddr = address.parse().unwrap();
    Frontend {
        at: At::Cluster(address.ip()),
        ..at(&address.to_string())
    }
}

fn node(v4: bool) -> Frontend {
    Frontend {
        at: At::Node { v4 },
        protocol: Protocol::Tcp,
        port: 30080,
    }
}

#[test]
fn a_service_of_another_vpc_is_answered_here_whoever_connects() {
    let plan = plan([of_vpc("web", &["10.8.1.4:8080"])]);
    let here: Vec<SocketAddr> = vec!["10.8.1.4:8080".parse().unwrap()];
    for frontend in [cluster("10.96.0.7:80"), node(true), at("198.51.100.7:80")] {
        let handling = &plan.frontends[&frontend];
        assert_eq!(handling.for_anybody(), here, "{frontend}");
        assert_eq!(handling.for_beyond(), None, "{frontend}");
    }
    // Another node has an endpoint of the other family.
    for frontend in [cluster("[fd00:10:96::7]:80"), node(false)] {
        let handling = &plan.frontends[&frontend];
        assert_eq!(handling.here, Some(vec![]), "{frontend}");
    }
    assert_eq!(
        plan.frontends[&node(true)].target,
        Some("10.96.0.7:80".parse().unwrap())
    );
    assert!(plan.shared.is_empty());
}

#[test]
fn without_a_port_in_the_vpc_no_endpoint_is_here() {
    let services = Services {
        facts: vec![Arc::new(of_vpc("web", &["10.8.1.4:8080"]))],
        problems: vec![],
        ..Services::default()
    };
    let plan = Plan::new(&services, "n1", &Vpcs::new());
    assert!(plan.frontends.values().all(|handling| handling.here == Some(vec![])));
    assert_eq!(plan.frontends.len(), 6);
}

#[test]
fn a_service_of_another_vpc_may_be_answered_nowhere() {
    let mut service = of_vpc("web", &[]);
    service.ports[0].endpoints.clear();
    let plan = plan([service]);
    assert_eq!(plan.frontends[&cluster("10.96.0.7:80")].here, None);
}

#[test]
fn of_a_shared_service_of_the_default_vpc_the_host_knows_who_may_connect() {
    let mut service = service("dns");
    service.addresses.clear();
    service.shared = true;
    service.cluster_ips = vec!["10.96.0.10".parse().unwrap()];
    let plan = plan([service]);
    assert!(plan.frontends.is_empty());
    assert_eq!(Vec::from_iter(plan.shared), [cluster("10.96.0.10:80")]);
}
