//! Events on pods that cannot get an address, by the real program with a real `ovsdb-server`.

use serde_json::json;

use crate::setting::own_name;
use crate::support::{Account, eventually};
use crate::translated::Cluster;

#[tokio::test]
async fn a_pod_without_an_address_has_an_event_that_says_why_and_a_healthy_pod_has_none() {
    let Some(c) = Cluster::new().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    for n in 0..5 {
        c.pod(&format!("p{n}"), "small").await;
    }
    let lost = c.pod("lost", "nowhere").await;
    c.until_events("three events", |events| events.len() == 3).await;
    let healthy = c.until_ports(|ports| ports.len() == 3).await;
    let events = c.events().await;
    assert!(healthy.iter().all(|pod| !events.contains_key(pod)), "{events:#?}");
    let [event] = &events["lost"][..] else {
        panic!("{events:#?}")
    };
    for (field, expected) in [
        ("/type", "Warning"),
        ("/reason", "FailedAddressAllocation"),
        ("/action", "AllocateAddress"),
        ("/reportingController", "meridian.dev/translator"),
        ("/regarding/kind", "Pod"),
        ("/regarding/uid", lost["metadata"]["uid"].as_str().unwrap()),
        (
            "/note",
            "node nowhere does not exist: the pod gets its port once the node has joined",
        ),
    ] {
        assert_eq!(event.pointer(field).unwrap(), expected, "{field} of {event:#}");
    }
    let waiting = events.iter().find(|(pod, _)| *pod != "lost").unwrap().1;
    let note = waiting[0]["note"].as_str().unwrap();
    assert!(note.starts_with("node small has no free address: "), "{note}");
    assert!(note.contains("give the node a larger podCIDR"), "{note}");
    // Three events, and nothing else.
    let created = format!("create /apis/events.k8s.io/v1/namespaces/{}/events", c.namespace);
    assert_eq!(c.written_by(&account), [&*created; 3]);
}

#[tokio::test]
async fn a_new_leader_goes_on_with_the_events_of_the_old_one_and_says_no_more_of_what_is_solved() {
    let Some(c) = Cluster::new().await else { return };
    let (first, second) = (
        Account::translator(&c.objects, &own_name()).await,
        Account::translator(&c.objects, &own_name()).await,
    );
    let leader = c.start(&first);
    eventually("a leader", || async {
        leader.is_ready().then_some(()).ok_or(String::new())
    })
    .await;
    let standby = c.start(&second);
    for n in 0..4 {
        c.pod(&format!("p{n}"), "small").await;
    }
    c.pod("lost", "nowhere").await;
    c.until_events("two events", |events| events.len() == 2).await;
    eventually("a standby", || async {
        standby.is_ready().then_some(()).ok_or(String::new())
    })
    .await;
    assert_eq!(c.written_by(&second), [""; 0]);

    let ports = c.until_ports(|ports| ports.len() == 3).await;
    let waiting = (0..5)
        .map(|n| format!("p{n}"))
        .find(|pod| !ports.contains(pod))
        .unwrap();
    c.objects.delete_pod(&c.namespace, &ports[0]).await;
    c.until_ports(|ports| ports.contains(&waiting)).await;
    drop(leader);
    c.until_events("the event again", |events| events["lost"][0]["series"]["count"] == 2)
        .await;
    let events = c.events().await;
    assert_eq!((events["lost"].len(), events[&waiting].len()), (1, 1), "{events:#?}");
    assert!(events[&waiting][0]["series"].is_null(), "{events:#?}");
    let written = c.written_by(&second);
    assert!(written.iter().all(|change| !change.contains(&waiting)), "{written:?}");
}

#[tokio::test]
async fn events_that_may_not_be_written_stop_nothing() {
    let Some(c) = Cluster::new().await else { return };
    let account = Account::reader(&c.objects, &own_name()).await;
    let daemon = c.start(&account);
    c.pod("lost", "nowhere").await;
    eventually("an attempt", || async {
        let written = c.written_by(&account);
        (!written.is_empty())
            .then_some(())
            .ok_or(format!("{:?}", daemon.get("/status")))
    })
    .await;
    c.pod("web", "small").await;
    c.until_ports(|ports| ports == ["web"]).await;
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    let (code, log) = daemon.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains(
            "grant get of pods, services, endpointslices, vpcs, vpcpeerings, subnets, networkpolicies and policies in policy.networking.k8s.io, and create and patch of events"
        ),
        "{log}"
    );
}

#[tokio::test]
async fn endpoints_that_make_no_sense_are_told_where_their_user_looks() {
    let Some(c) = Cluster::new().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    c.objects.service(&c.namespace, "web", &json!({})).await;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-x7", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.96.7.7"]}],
    });
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", c.namespace);
    let slice = c.objects.create(&slices, &slice).await;
    c.until_events("the event", |events| events.contains_key("web-x7"))
        .await;
    let event = &c.events().await["web-x7"][0];
    assert_eq!(
        (
            &event["reason"],
            &event["regarding"]["kind"],
            &event["regarding"]["uid"]
        ),
        (
            &json!("InvalidEndpoints"),
            &json!("EndpointSlice"),
            &slice["metadata"]["uid"]
        ),
        "{event:#}"
    );
}
