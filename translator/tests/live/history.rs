//! Servers whose history is not, or no longer, the one that was followed.

use meridian_translator::source::kubernetes::Patience;

use crate::setting::Setting;
use crate::support::{Etcd, PATIENCE};

#[tokio::test]
async fn history_that_was_compacted_is_made_up_for_by_a_list() {
    // A server that takes long to start is no server that is away.
    let patience = Patience {
        word: PATIENCE,
        ..Patience::default()
    };
    let Some(mut s) = Setting::with(patience).await else {
        return;
    };
    // The translator is kept waiting, so that it knows of no absence and asks for what it has not seen.
    s.proxy.hold();
    s.objects.delete_pod("shop", "old").await;
    s.objects.pod("shop", "new", "a").await;
    Etcd::at(s.plane.etcd_address()).compact().await;
    // A restarted API server remembers only what etcd does.
    s.plane.restart_api(&[]).await;
    s.proxy.release();
    s.until_equal().await;
    assert_eq!(s.pods(), ["shop/kept on a", "shop/new on a"]);
    let health = s.followed.pods();
    assert!(s.followed.expired() > 0 && health.lists == 2, "{health:?}");
    s.objects.delete_pod("shop", "kept").await;
    s.until_equal().await;
    s.followed.until_problems(&[]).await;
}

/// What the API server says to a watch from a version it has not reached yet is nothing at all.
#[tokio::test]
async fn a_database_that_was_restored_from_an_older_copy_is_noticed() {
    let Some(mut s) = Setting::new().await else { return };
    s.plane.kill_etcd();
    s.plane.save_etcd("copy");
    s.plane.start_etcd();
    s.plane.await_ready().await;
    s.objects.delete_pod("shop", "old").await;
    for n in 0..20 {
        s.objects.pod("shop", &format!("later{n}"), "a").await;
    }
    s.until_equal().await;
    s.proxy.hold();
    s.plane.kill_api();
    s.plane.kill_etcd();
    s.plane.restore_etcd(Some("copy"));
    s.plane.start_etcd();
    s.plane.start_api().await;
    s.proxy.release();
    s.until_equal().await;
    assert_eq!(s.pods(), ["shop/kept on a", "shop/old on a"]);
    assert!(s.followed.expired() > 0, "{:?}", s.followed.pods());
    s.objects.pod("shop", "new", "a").await;
    s.until_equal().await;
}

#[tokio::test]
async fn a_database_that_was_wiped_leaves_nothing_of_what_was() {
    let Some(mut s) = Setting::new().await else { return };
    s.plane.kill_api();
    s.plane.kill_etcd();
    s.plane.restore_etcd(None);
    s.plane.start_etcd();
    s.plane.start_api().await;
    // Nobody is known any more, not even the translator.
    s.renew_account().await;
    s.until_equal().await;
    assert!(s.pods().is_empty(), "{:?}", s.pods());
    s.followed.until_problems(&[]).await;
}
