//! Locks between sessions on one server.

use ovsdb::{LockState, TransactError};

use crate::support::*;

#[tokio::test]
async fn the_lock_goes_to_the_next_in_line() {
    let server = northbound();
    let first = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&first, LockState::Held).await;
    let second = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&second, LockState::Waiting).await;

    first.unlock();
    lock(&second, LockState::Held).await;
    lock(&first, LockState::NotRequested).await;
    first.lock();
    lock(&first, LockState::Waiting).await;
    second.close().await;
    lock(&first, LockState::Held).await;
}

#[tokio::test]
async fn without_the_lock_nothing_is_written() {
    let server = northbound();
    let holder = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&holder, LockState::Held).await;
    let other = connected(config([server.unix()]).with_lock("leader")).await;
    let guarded = |name: &str| {
        let mut transaction = add(name);
        transaction.assert_lock("leader");
        transaction
    };
    holder.transact(guarded("by the holder")).await.unwrap();
    assert_eq!(
        other.transact(guarded("by the other")).await.unwrap_err(),
        TransactError::LockLost
    );

    other.steal_lock();
    lock(&other, LockState::Held).await;
    lock(&holder, LockState::Stolen).await;
    assert_eq!(
        holder.transact(guarded("too late")).await.unwrap_err(),
        TransactError::LockLost
    );
    other.transact(guarded("by the thief")).await.unwrap();
    assert_eq!(names(&other), set(["by the holder", "by the thief"]));

    other.unlock();
    lock(&holder, LockState::Held).await;
}

#[tokio::test]
async fn the_lock_is_taken_again_after_a_lost_connection() {
    let mut server = northbound();
    let session = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&session, LockState::Held).await;
    let mut watch = session.lock_state();
    watch.mark_unchanged();
    server.restart();
    within("lock is lost", watch.changed()).await.unwrap();
    epoch(&session, 2).await;
    lock(&session, LockState::Held).await;
}

#[tokio::test]
async fn a_holder_that_dies_is_succeeded() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let mut once = config([proxy.remote()]).with_lock("leader");
    // It does not come back before the test is over.
    once.timing.backoff_min = ovsdb::testing::PATIENCE * 4;
    once.timing.backoff_max = once.timing.backoff_min;
    let holder = connected(once).await;
    lock(&holder, LockState::Held).await;
    let heir = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&heir, LockState::Waiting).await;
    proxy.cut();
    lock(&heir, LockState::Held).await;
    lock(&holder, LockState::NotRequested).await;
}

#[tokio::test]
async fn a_thief_does_not_steal_again_after_a_lost_connection() {
    let server = northbound();
    let proxy = Proxy::before(server.socket());
    let victim = connected(config([server.unix()]).with_lock("leader")).await;
    lock(&victim, LockState::Held).await;
    let thief = connected(config([proxy.remote()]).with_lock("leader")).await;
    thief.steal_lock();
    lock(&thief, LockState::Held).await;
    lock(&victim, LockState::Stolen).await;

    proxy.cut();
    lock(&victim, LockState::Held).await;
    epoch(&thief, 2).await;
    lock(&thief, LockState::Waiting).await;
}
