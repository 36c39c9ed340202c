//! Consents to peerings on a real API server: what it refuses, and what the real program says of them.

use serde_json::{Value, json};

use crate::setting::own_name;
use crate::support::{Account, VPC_PEERINGS, VPCS, eventually};
use crate::translated::Cluster;

fn peering(name: &str, vpc: &str, peer: &str) -> Value {
    json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "VpcPeering", "metadata": {"name": name},
        "spec": {"vpc": vpc, "peer": peer},
    })
}

/// Status, reason and message of a condition, once it is as wanted.
async fn until_condition(c: &Cluster, path: &str, of: &str, wanted: &str) {
    eventually(wanted, || async {
        let object = c.objects.get(path).await.unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition["type"] == of);
        let text = |field: &str| {
            condition
                .and_then(|condition| condition[field].as_str())
                .unwrap_or_default()
        };
        let told = format!("{} {}: {}", text("status"), text("reason"), text("message"));
        if told == wanted {
            Ok(())
        } else {
            Err(object.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn the_api_server_refuses_peerings_that_cannot_be_and_other_vpcs_for_one() {
    let Some(c) = Cluster::with_crds().await else { return };
    for (vpc, peer, said) in [
        ("blue", "blue", "a VPC is no peer of itself"),
        ("default", "blue", "the VPC default is no peer of others"),
        ("blue", "default", "the VPC default is no peer of others"),
        ("blue", "a.b", "spec.peer"),
        ("Blue", "green", "spec.vpc"),
    ] {
        let refusal = c.objects.try_create(VPC_PEERINGS, &peering("bad", vpc, peer)).await;
        let refusal = refusal.unwrap_err();
        assert!(refusal.contains(said), "{vpc}, {peer}: {refusal}");
    }
    c.objects.create(VPC_PEERINGS, &peering("a", "blue", "green")).await;
    for change in [json!({"vpc": "red"}), json!({"peer": "red"})] {
        let change = json!({"spec": change});
        let refusal = c
            .objects
            .try_merge(&format!("{VPC_PEERINGS}/a"), &change)
            .await
            .unwrap_err();
        assert!(refusal.contains("a peering is of two VPCs for good"), "{refusal}");
    }
}

#[tokio::test]
async fn a_peering_by_consents_is_told_on_them_and_on_the_vpcs_and_ends_with_either() {
    let Some(c) = Cluster::with_crds().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    let daemon = c.start(&account);
    let spec = |cidr: &str| json!({"podNetwork": {"cidrs": [cidr]}});
    let [ours, theirs] = ["ours", "theirs"].map(|name| format!("{VPC_PEERINGS}/{name}"));
    let blue = format!("{VPCS}/blue");
    c.objects.create(VPC_PEERINGS, &peering("ours", "blue", "green")).await;
    until_condition(&c, &ours, "Connected", "False Waiting: there is no VPC blue").await;
    c.objects.vpc("blue", &spec("10.8.0.0/16")).await;
    until_condition(&c, &ours, "Connected", "False Waiting: there is no VPC green").await;
    c.objects.vpc("green", &spec("10.9.0.0/16")).await;
    let waits = "False Waiting: VPC green does not name blue among its peers, and no VpcPeering does so for it";
    until_condition(&c, &ours, "Connected", waits).await;
    until_condition(&c, &blue, "PeersConnected", waits).await;
    c.objects
        .create(VPC_PEERINGS, &peering("theirs", "green", "blue"))
        .await;
    let connected = "True Connected: pods of VPC blue and pods of VPC green reach each other";
    until_condition(&c, &ours, "Connected", connected).await;
    let connected = "True Connected: pods of VPC green and pods of VPC blue reach each other";
    until_condition(&c, &theirs, "Connected", connected).await;
    until_condition(&c, &blue, "PeersConnected", "True Connected: it is connected to green").await;
    c.objects.delete(&theirs).await;
    until_condition(&c, &ours, "Connected", waits).await;

    // One that overlaps is refused, and says so by an event.
    c.objects.vpc("red", &spec("10.8.128.0/17")).await;
    c.objects.create(VPC_PEERINGS, &peering("to-red", "blue", "red")).await;
    let made = c.objects.create(VPC_PEERINGS, &peering("to-blue", "red", "blue")).await;
    let why = "10.8.0.0/16 of VPC blue overlaps 10.8.128.0/17 of VPC red: peers need networks of their own";
    until_condition(
        &c,
        &format!("{VPC_PEERINGS}/to-blue"),
        "Connected",
        &format!("False Conflict: {why}"),
    )
    .await;
    eventually("the event", || async {
        let event = c.objects.event_about(&made).await.ok_or("none")?;
        assert_eq!(
            (&event["regarding"]["kind"], &event["reason"], &event["note"]),
            (&json!("VpcPeering"), &json!("PeerRefused"), &json!(why))
        );
        Ok::<_, String>(())
    })
    .await;
    drop(daemon);
}
