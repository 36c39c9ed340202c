//! VPCs on a real API server: what it refuses, and what the real program says of them.

use meridian_api::vpc::FINALIZER;
use meridian_compile::VpcReport;
use meridian_model::PodKey;
use meridian_northbound::writer::{LockStatus, SourceStatus, Status};
use meridian_translator::problems::{Board, Origin, Problem};
use meridian_translator::source::kubernetes::{self, Access};
use meridian_translator::{events, vpcs};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::setting::own_name;
use crate::support::{Account, SUBNETS, VPCS, eventually};
use crate::translated::Cluster;

impl Cluster {
    async fn until_vpc(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            let vpc = self.objects.get(&format!("{VPCS}/blue")).await.unwrap();
            if wanted(&vpc) { Ok(vpc) } else { Err(vpc.to_string()) }
        })
        .await
    }
}

/// Who writes what becomes of VPCs, and what the compiler would tell it.
struct Kept {
    status: watch::Sender<Status>,
    board: Board,
    _tasks: JoinSet<()>,
}

impl Kept {
    /// As the leader.
    async fn start(c: &Cluster, account: &Account) -> Self {
        let access = Access {
            kubeconfig: Some(c.kubeconfig(account)),
            context: None,
        };
        let cluster = kubernetes::Cluster::connect(access).await.unwrap();
        let board = Board::default();
        let status = watch::Sender::new(Status {
            lock: LockStatus::Held,
            ..Status::default()
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(vpcs::keep(cluster.clone(), board.clone(), status.subscribe()));
        tasks.spawn(events::tell(cluster, board.clone(), status.subscribe()));
        Self {
            status,
            board,
            _tasks: tasks,
        }
    }

    fn report(&self, report: VpcReport) {
        self.status.send_modify(|status| status.vpcs = [report].into());
    }
}

fn used(pods: usize) -> VpcReport {
    VpcReport {
        name: "blue".into(),
        namespaces: vec!["shop".into()],
        pods,
        nodes: pods,
        first: (0..pods.min(10))
            .map(|n| PodKey::new("shop", format!("p{n}")))
            .collect(),
        ..VpcReport::default()
    }
}

/// Status, reason and message of a condition.
fn condition(vpc: &Value, of: &str) -> Option<String> {
    let conditions = vpc["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == of)?;
    let text = |field: &str| condition[field].as_str().unwrap();
    Some(format!("{} {}: {}", text("status"), text("reason"), text("message")))
}

fn spec(cidrs: &[&str]) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"vpc": "blue"}}, "podNetwork": {"cidrs": cidrs}})
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

#[tokio::test]
async fn the_api_server_refuses_vpcs_that_cannot_be() {
    let Some(c) = Cluster::with_crds().await else { return };
    let good = || spec(&["10.8.0.0/16", "fd00:8::/48"]);
    for (name, said) in [
        ("default", "default is the VPC of namespaces that no other selects"),
        ("default-a", "default is the VPC of namespaces that no other selects"),
        ("a.b", "the name of a VPC has at most 63 characters"),
        (&*"a".repeat(64), "the name of a VPC has at most 63 characters"),
    ] {
        let refusal = c.objects.try_vpc(name, &good()).await.unwrap_err();
        assert!(refusal.contains(said), "{name}: {refusal}");
    }
    let expression = |expression: Value| with(good(), "namespaceSelector", json!({"matchExpressions": [expression]}));
    let values = "In and NotIn need values";
    for (spec, said) in [
        (
            spec(&["10.8.0.0/16", "fd00:8::/48", "10.9.0.0/16"]),
            "must have at most 2 items",
        ),
        (spec(&[]), "should have at least 1 items"),
        (spec(&["10.8.0.0"]), "spec.podNetwork.cidrs[0]"),
        (
            with(good(), "podNetwork", json!({"cidrs": ["10.8.0.0/16"], "hostSlice": 30})),
            "spec.podNetwork.hostSlice",
        ),
        (with(good(), "egress", json!({"mode": "Nat"})), "spec.egress.mode"),
        (with(good(), "scope", json!("Containers")), "spec.scope"),
        (
            with(good(), "egress", json!({"mode": "Gateway"})),
            "gatewayNodeSelector says which nodes",
        ),
        (
            with(good(), "egress", json!({"gatewayNodeSelector": {}})),
            "gatewayNodeSelector says which nodes",
        ),
        (
            with(
                good(),
                "egress",
                json!({"mode": "Gateway", "gatewayNodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            ),
            "In and NotIn need values",
        ),
        (
            with(
                good(),
                "routes",
                json!([{"destination": "10.0.0.0", "nexthops": ["10.21.0.5"]}]),
            ),
            "spec.routes[0].destination",
        ),
        (
            with(good(), "routes", json!([{"destination": "0.0.0.0/0", "nexthops": []}])),
            "spec.routes[0].nexthops",
        ),
        (
            with(
                good(),
                "routes",
                json!(["10.21.0.5", "10.21.0.6"].map(|hop| json!({"destination": "0.0.0.0/0", "nexthops": [hop]}))),
            ),
            "Duplicate value",
        ),
        (
            expression(json!({"key": "a", "operator": "Like", "values": ["b"]})),
            "operators are In, NotIn, Exists and DoesNotExist",
        ),
        (expression(json!({"key": "a", "operator": "In"})), values),
        (
            expression(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            values,
        ),
    ] {
        let refusal = c.objects.try_vpc("bad", &spec).await.unwrap_err();
        assert!(refusal.contains(said), "{spec}: {refusal}");
    }
}

#[tokio::test]
async fn the_network_of_a_vpc_stays_and_everything_else_of_it_may_change() {
    let Some(c) = Cluster::with_crds().await else { return };
    let made = c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    assert_eq!(
        (
            &made["spec"]["podNetwork"],
            &made["spec"]["egress"],
            &made["spec"]["services"]
        ),
        (
            &json!({"cidrs": ["10.8.0.0/16"], "hostSlice": 24, "hostSliceIPv6": 64}),
            &json!({"mode": "Node"}),
            &json!({"shared": true})
        )
    );
    for network in [
        json!({"cidrs": ["10.9.0.0/16"]}),
        json!({"cidrs": ["10.8.0.0/16", "fd00:8::/48"]}),
        json!({"hostSlice": 25}),
    ] {
        let change = json!({"spec": {"podNetwork": network}});
        let refusal = c.objects.try_merge(&format!("{VPCS}/blue"), &change).await.unwrap_err();
        assert!(
            refusal.contains("make another VPC, and move the namespaces"),
            "{refusal}"
        );
    }
    let selector = json!({
        "matchLabels": null, "matchExpressions": [{"key": "vpc", "operator": "In", "values": ["blue", "navy"]}],
    });
    let change = json!({"spec": {
        "namespaceSelector": selector, "egress": {"mode": "None"}, "services": {"shared": false},
    }});
    let changed = c.objects.try_merge(&format!("{VPCS}/blue"), &change).await.unwrap();
    assert_eq!(changed["spec"]["egress"]["mode"], "None");
}

#[tokio::test]
async fn a_vpc_that_is_deleted_stays_until_no_pod_is_in_it_and_says_which_are() {
    let Some(c) = Cluster::with_crds().await else { return };
    c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    let account = Account::translator(&c.objects, &own_name()).await;
    let kept = Kept::start(&c, &account).await;
    let held = |vpc: &Value| vpc["metadata"]["finalizers"] == json!([FINALIZER]);
    let vpc = c.until_vpc("the finalizer", held).await;
    assert_eq!(vpc["status"], Value::Null, "nobody has said anything yet");
    kept.report(used(12));
    let vpc = c.until_vpc("the status", |vpc| vpc["status"]["pods"] == 12).await;
    assert_eq!(
        (
            &vpc["status"]["namespaces"],
            &vpc["status"]["nodes"],
            &vpc["status"]["observedGeneration"]
        ),
        (&json!(["shop"]), &json!(12), &vpc["metadata"]["generation"])
    );
    assert_eq!(condition(&vpc, "Ready").unwrap(), "True Ready: pods can be in it");
    // Nobody waits for the deletion to be over.
    c.objects.delete(&format!("{VPCS}/blue")).await;
    let vpc = c
        .until_vpc("what keeps it", |vpc| condition(vpc, "InUse").is_some())
        .await;
    assert_eq!(
        condition(&vpc, "InUse").unwrap(),
        "True Pods: 12 pods are in it: shop/p0, shop/p1, shop/p2, shop/p3, shop/p4, shop/p5, shop/p6, shop/p7, shop/p8, \
         shop/p9 and 2 more"
    );
    // No pod, but the compiler may not know of the deletion yet; and then, but not of all pods.
    kept.report(used(0));
    c.until_vpc("no pods", |vpc| vpc["status"]["pods"] == 0 && held(vpc))
        .await;
    kept.status.send_modify(|status| {
        let doubt = Some("1 of the pods could not be read since the start".to_owned());
        status.sources = vec![SourceStatus {
            name: "pods",
            synced: true,
            doubt,
        }];
        status.vpcs = [VpcReport {
            deleting: true,
            ..used(0)
        }]
        .into();
    });
    c.until_vpc("the doubt", |vpc| {
        held(vpc)
            && condition(vpc, "InUse")
                .unwrap()
                .starts_with("True Doubt: pods may be in it: 1 of the pods")
    })
    .await;
    kept.status.send_modify(|status| status.sources.clear());
    eventually("it is gone", || async {
        match c.objects.get(&format!("{VPCS}/blue")).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    assert!(kept.board.is_empty(), "{:?}", kept.board.all());
}

#[tokio::test]
async fn a_vpc_that_pods_cannot_be_in_says_so_in_its_status_and_by_an_event() {
    let Some(c) = Cluster::with_crds().await else { return };
    let made = c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    let account = Account::translator(&c.objects, &own_name()).await;
    let kept = Kept::start(&c, &account).await;
    let fault = ("spec.podNetwork.cidrs[0]", "overlaps 10.8.0.0/16 of --cluster-cidr");
    kept.report(VpcReport {
        faults: vec![(fault.0.into(), fault.1.into())],
        conflict: true,
        ..used(0)
    });
    kept.board.set(
        Origin::Compile,
        [Problem {
            object: "vpc/blue".into(),
            field: Some(fault.0.into()),
            reason: None,
            message: fault.1.into(),
            place: None,
        }],
    );
    let said = format!("{}: {}", fault.0, fault.1);
    c.until_vpc("the condition", |vpc| {
        condition(vpc, "Ready") == Some(format!("False Conflict: {said}"))
    })
    .await;
    eventually("the event", || async {
        let event = c.objects.event_about(&made).await.ok_or("none")?;
        let regarding = &event["regarding"];
        assert_eq!(
            (&regarding["kind"], &regarding["name"], &regarding["namespace"]),
            (&json!("Vpc"), &json!("blue"), &Value::Null)
        );
        assert_eq!(
            (&event["reason"], &event["note"]),
            (&json!("VpcNotReady"), &json!(said))
        );
        Ok::<_, String>(())
    })
    .await;
}

#[tokio::test]
async fn the_status_of_a_vpc_is_written_once_and_not_against_whoever_changes_it() {
    let Some(c) = Cluster::with_crds().await else { return };
    c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    let account = Account::translator(&c.objects, &own_name()).await;
    let kept = Kept::start(&c, &account).await;
    kept.report(used(3));
    c.until_vpc("the status", |vpc| vpc["status"]["pods"] == 3).await;
    // Somebody undoes both, and another change says that nothing was done about that.
    let path = format!("{VPCS}/blue");
    c.objects
        .merge(&format!("{path}/status"), &json!({"status": {"pods": 7}}))
        .await;
    c.objects.merge(&path, &json!({"metadata": {"finalizers": null}})).await;
    kept.report(used(4));
    c.until_vpc("the next status", |vpc| vpc["status"]["pods"] == 4).await;
    let written = c.written_by(&account);
    assert_eq!(
        written,
        [
            format!("patch {path}"),
            format!("patch {path}/status"),
            format!("patch {path}/status")
        ]
    );
}

#[tokio::test]
async fn whoever_may_not_write_vpcs_says_what_to_grant_and_everything_else_goes_on() {
    let Some(c) = Cluster::with_crds().await else { return };
    c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    let account = Account::reader(&c.objects, &own_name()).await;
    let daemon = c.start(&account);
    eventually("the problem", || async {
        let (_, status) = daemon.get("/status").ok_or("no answer")?;
        let found = status.contains("grant patch of vpcs and of vpcs/status in meridian.dev to that user");
        found.then_some(()).ok_or(status)
    })
    .await;
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    drop(daemon);
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    c.until_vpc("the finalizer", |vpc| {
        vpc["metadata"]["finalizers"] == json!([FINALIZER])
    })
    .await;
}

#[tokio::test]
async fn routes_of_a_vpc_wait_for_their_subnet_and_say_so() {
    let Some(c) = Cluster::with_crds().await else { return };
    let routes = json!([{"destination": "0.0.0.0/0", "nexthops": ["10.21.0.5"]}]);
    let made = c
        .objects
        .vpc("blue", &with(spec(&["10.8.0.0/16"]), "routes", routes))
        .await;
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    let why = "spec.routes[0].nexthops[0]: 10.21.0.5 is in no Subnet of VPC blue: name an address of one, which what forwards it has; \
               what is for 0.0.0.0/0 is dropped";
    let told = |vpc: &Value| condition(vpc, "RoutesReady");
    c.until_vpc("what is wrong", |vpc| {
        told(vpc) == Some(format!("False Invalid: {why}"))
    })
    .await;
    eventually("the event", || async {
        let event = c.objects.event_about(&made).await.ok_or("none")?;
        assert_eq!(
            (&event["reason"], &event["note"]),
            (&json!("RouteRefused"), &json!(why))
        );
        Ok::<_, String>(())
    })
    .await;
    let subnet = json!({
        "apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": "edge"},
        "spec": {"vpc": "blue", "cidrs": ["10.21.0.0/24"]},
    });
    c.objects.create(SUBNETS, &subnet).await;
    c.until_vpc("the route", |vpc| {
        told(vpc).as_deref() == Some("True Ready: there is a route for one network")
    })
    .await;
}
