//! Lists and watches, on servers and connections that fail.

use std::time::Duration;

use meridian_translator::source::kubernetes::Patience;
use serde_json::json;

use crate::common::Told;
use crate::followed::Followed;
use crate::setting::{Setting, own_name};
use crate::support::{Account, Credentials, Etcd, Objects, SERVICE_CIDRS, control_plane, eventually};

const POD: &str = "/api/v1/namespaces/shop/pods";

#[tokio::test]
async fn lists_are_streamed_and_changes_follow() {
    let Some(mut s) = Setting::new().await else { return };
    s.until_equal().await;
    assert_eq!(s.pods(), ["shop/kept on a", "shop/old on a"]);
    s.objects.pod("shop", "new", "a").await;
    s.objects
        .pod_status(
            "shop",
            "kept",
            &json!({"phase": "Running", "podIPs": [{"ip": "10.244.0.9"}]}),
        )
        .await;
    s.objects.delete_pod("shop", "old").await;
    s.objects.node("b", &["10.244.1.0/24"]).await;
    s.objects.delete("/api/v1/nodes/a").await;
    s.until_equal().await;
    let asked = s.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("sendInitialEvents=true"), "{asked:?}");
    s.followed.until_problems(&[]).await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_lists_is_listed_page_by_page() {
    let Some(mut plane) = control_plane().await else { return };
    plane.restart_api(&["--feature-gates=WatchList=false"]).await;
    let objects = Objects(plane.admin().await);
    objects.namespace("many").await;
    // More than a page.
    let pods = (0..520).map(|n| {
        let objects = objects.clone();
        async move { objects.pod("many", &format!("p{n}"), "a").await }
    });
    futures::future::join_all(pods).await;
    let account = Account::reader(&objects, &own_name()).await;
    let kubeconfig = plane.kubeconfig("paged", &Credentials::Token(&account.token));
    let mut followed = Followed::of(&kubeconfig).await;
    assert_eq!(followed.told.cluster.pods().len(), 520);
    objects.delete_pod("many", "p7").await;
    followed.until_equal(&objects).await;
    followed.until_problems(&[]).await;
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let Some(mut s) = Setting::new().await else { return };
    s.proxy.cut();
    s.objects.pod("shop", "new", "a").await;
    s.until_equal().await;
    let asked = s.asked();
    let resumed = |query: &&String| query.contains("watch=true") && !query.contains("sendInitialEvents");
    let version = asked.iter().find(resumed).unwrap_or_else(|| panic!("{asked:?}"));
    // It goes on from the bookmark at the end of the list, which is later than any pod.
    let version: u64 = version.rsplit_once("resourceVersion=").unwrap().1.parse().unwrap();
    let pod = s.objects.get(&format!("{POD}/kept")).await.unwrap();
    let pod: u64 = pod["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(version >= pod, "{version} of {asked:?}, {pod}");
    let lists = asked.iter().filter(|query| query.contains("sendInitialEvents")).count();
    assert_eq!(lists, 1, "{asked:?}");
}

#[tokio::test]
async fn an_api_server_killed_in_the_middle_of_a_watch_loses_nothing() {
    let Some(mut s) = Setting::new().await else { return };
    s.plane.kill_api();
    s.followed.until_problem("watch/pods: ").await;
    s.plane.start_api().await;
    s.objects.delete_pod("shop", "old").await;
    s.objects.pod("shop", "new", "a").await;
    s.until_equal().await;
    assert_eq!(s.pods(), ["shop/kept on a", "shop/new on a"]);
    s.followed.until_problems(&[]).await;
}

#[tokio::test]
async fn an_api_server_that_stands_still_is_noticed_and_told_and_followed_when_it_goes_on() {
    let patience = Patience {
        quiet: Duration::from_millis(500),
        word: Duration::from_secs(1),
        ..Patience::default()
    };
    let Some(mut s) = Setting::with(patience).await else {
        return;
    };
    s.plane.pause_api();
    let problem = s.followed.until_problem("watch/pods: ").await;
    assert!(problem.contains("has not said a word about pods for 1 s"), "{problem}");
    // What it holds is still right as far as anybody knows: it stays ready, and says why that may be old.
    let (code, text) = s.followed.readyz().await;
    assert_eq!(code, 200, "{text}");
    assert!(text.contains("the watch of pods fails since "), "{text}");
    s.plane.resume_api();
    s.objects.pod("shop", "new", "a").await;
    s.until_equal().await;
    s.followed.until_problems(&[]).await;
    assert!(!s.followed.readyz().await.1.contains("fails"));
}

#[tokio::test]
async fn an_idle_cluster_is_asked_whether_it_is_there_and_nothing_more() {
    let patience = Patience {
        quiet: Duration::from_millis(100),
        ..Patience::default()
    };
    let Some(s) = Setting::with(patience).await else { return };
    eventually("some questions", || async {
        let questions = s.asked().len() - 1;
        (questions > 3)
            .then_some(())
            .ok_or_else(|| format!("{:?} {:?}", s.asked(), s.followed.pods()))
    })
    .await;
    let health = s.followed.pods();
    assert_eq!(
        (health.lists, health.resumes, health.errors.len()),
        (1, 0, 0),
        "{health:?}"
    );
    assert!(
        s.asked()[1..].iter().all(|query| query.contains("limit=1")),
        "{:?}",
        s.asked()
    );
}

#[tokio::test]
async fn objects_that_cannot_be_read_stop_nothing_and_are_named() {
    let Some(mut s) = Setting::new().await else { return };
    // The API takes any phase, and what is in etcd nobody checks.
    s.objects
        .pod_status("shop", "old", &json!({"phase": "Levitating"}))
        .await;
    let ips = json!({"phase": "Running", "podIP": "10.244.0.77", "podIPs": [{"ip": "10.244.0.77"}]});
    s.objects.pod_status("shop", "kept", &ips).await;
    let etcd = Etcd::at(s.plane.etcd_address());
    etcd.edit("/registry/pods/shop/kept", "10.244.0.77", "10.244.0.7x")
        .await;
    s.objects.pod("shop", "new", "a").await;
    s.followed.told.until("new", |told| told.pods().len() == 3).await;
    let expected = [
        "pod/shop/kept: status.podIPs[0].ip: \"10.244.0.7x\" is no IP address",
        "pod/shop/old: status.phase: \"Levitating\" is none of Pending, Running, Succeeded, Failed, Unknown",
    ];
    s.followed.until_problems(&expected).await;
    etcd.edit("/registry/pods/shop/kept", "10.244.0.7x", "10.244.0.78")
        .await;
    s.objects.pod_status("shop", "old", &json!({"phase": "Running"})).await;
    s.until_equal().await;
    s.followed.until_problems(&[]).await;
}

#[tokio::test]
async fn kinds_that_come_and_go_are_followed_as_they_do() {
    let patience = Patience {
        search: Duration::from_millis(100),
        ..Patience::default()
    };
    let Some(mut s) = Setting::with(patience).await else {
        return;
    };
    let cidr = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/16"]}});
    s.objects.create(SERVICE_CIDRS, &cidr).await;
    s.until_equal().await;
    assert_eq!(s.followed.told.cluster.service_cidrs().count(), 2);
    s.objects.remove_crds().await;
    s.followed.until_problems(&[]).await;
    s.objects.install_crds().await;
    let spec = json!({"addresses": ["198.51.100.0/28"], "announcement": {}});
    s.objects.address_pool("public", &spec).await;
    let pools = |told: &Told| told.cluster.address_pools().count();
    s.followed.told.until("the pool", |told| pools(told) == 1).await;
    let spec = json!({"namespaceSelector": {}, "podNetwork": {"cidrs": ["10.8.0.0/16"]}});
    s.objects.vpc("blue", &spec).await;
    let vpcs = |told: &Told| told.cluster.vpcs().count();
    s.followed.told.until("the VPC", |told| vpcs(told) == 1).await;
    s.objects.remove_crds().await;
    s.followed.told.until("no VPC", |told| vpcs(told) == 0).await;
    s.followed.told.until("no pool", |told| pools(told) == 0).await;
    s.followed.until_problems(&[]).await;
}
