//! What ports of the nodes become.

use meridian_model::{EndpointSlice, Node, Service, ServiceType};

use crate::support::{Lab, dual_stack, vips};

/// `shop/web`, dual stack, with one port, under 30080 of every node.
fn web() -> Service {
    Service::test("shop", "web")
        .under(["10.96.0.7", "fd00:10:96::7"])
        .with_port("http", 80)
        .on_nodes(30080)
}

fn slice() -> EndpointSlice {
    EndpointSlice::test("shop", "web", "x")
        .with_port("http", 8080)
        .ready(["10.244.0.9"])
}

fn frontends(lab: &Lab) -> Vec<String> {
    vips(lab, "shop_web_tcp").into_keys().collect()
}

#[test]
fn a_port_of_every_node_is_a_frontend_that_no_node_is_named_in() {
    let lab = dual_stack().with(Node::test("node-1")).with(web()).with(slice());
    let vips = vips(&lab, "shop_web_tcp");
    assert_eq!(vips["169.254.77.1:30080"], "10.244.0.9:8080");
    assert_eq!(vips["[fd6d:6572:6964:6961::1]:30080"], "");
    assert_eq!(vips.len(), 4);
    assert_eq!(lab.problems(), [""; 0]);
}

#[test]
fn a_service_of_one_family_has_ports_of_that_family_only() {
    let lab = dual_stack().with(web().under(["10.96.0.7"]));
    assert_eq!(frontends(&lab), ["10.96.0.7:80", "169.254.77.1:30080"]);
}

#[test]
fn a_service_that_stops_being_on_nodes_has_its_own_addresses_left() {
    let mut lab = dual_stack().with(web());
    let mut service = web();
    service.r#type = ServiceType::ClusterIp;
    lab.apply(service);
    assert_eq!(frontends(&lab), ["10.96.0.7:80", "[fd00:10:96::7]:80"]);
}

#[test]
fn a_port_that_hosts_do_not_give_to_services_is_reported_and_the_rest_stands() {
    let lab = dual_stack().with(web().on_nodes(8080));
    assert_eq!(frontends(&lab), ["10.96.0.7:80", "[fd00:10:96::7]:80"]);
    let [problem] = &lab.problems()[..] else {
        panic!("{:?}", lab.problems())
    };
    assert!(
        problem.starts_with("service/shop/web: spec.ports[0].nodePort: 8080 is not among"),
        "{problem}"
    );
}

#[test]
fn the_host_learns_what_to_translate_ports_to_and_how_it_gets_there() {
    let lab = dual_stack().with(Node::test("node-1"));
    let facts = lab.facts("svc-default-node-1").unwrap();
    let texts: Vec<String> = facts.node_ports.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["30000-32767=169.254.77.1", "30000-32767=fd6d:6572:6964:6961::1"]
    );
    let route = "169.254.77.1/32=10.244.0.1".parse().unwrap();
    assert!(facts.routes.contains(&route), "{:?}", facts.routes);
    let source = "169.254.77.1/32=10.244.0.3".parse().unwrap();
    assert!(facts.sources.contains(&source), "{:?}", facts.sources);
}
