//! Following objects beside the sources, which keep what compiling needs.
//!
//! Such watches fail for the same reasons as the sources', and the sources' say so.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::source::kubernetes::{Backoff, ListWatch, News, Seen};

/// Hands on what a watch has to say, until nobody listens.
pub(crate) async fn forward<T: Seen, M>(
    mut objects: ListWatch<T>,
    say: impl Fn(News<T>) -> M,
    sender: mpsc::Sender<M>,
) {
    let mut backoff = Backoff::default();
    let mut listed = false;
    loop {
        let news = match objects.next().await {
            Ok(news) => {
                backoff.reset();
                listed |= !matches!(news, News::Alive);
                Some(news)
            }
            Err(failure) => {
                tracing::debug!(%failure, "watch beside the sources");
                let pause = backoff.pause(failure.cause);
                // As the sources have it: what may not be read and was not needed before holds up nothing.
                if !listed && objects.is_kept_from_us() {
                    listed = true;
                    if sender.send(say(News::Absent)).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(pause).await;
                None
            }
        };
        if let Some(news) = news.filter(|news| !matches!(news, News::Alive))
            && sender.send(say(news)).await.is_err()
        {
            return;
        }
    }
}

/// Takes in news. Whether anything is different.
pub(crate) fn fold<T, V: PartialEq>(
    map: &mut Option<BTreeMap<String, V>>,
    news: News<T>,
    into: impl Fn(T) -> (String, V),
) -> bool {
    match news {
        News::Listed(seen) => *map = Some(seen.into_iter().map(into).collect()),
        News::Absent => *map = Some(BTreeMap::new()),
        News::Applied(seen) => {
            let (name, value) = into(seen);
            let map = map.get_or_insert_default();
            if map.get(&name) == Some(&value) {
                return false;
            }
            map.insert(name, value);
        }
        News::Deleted(seen) => return map.get_or_insert_default().remove(&into(seen).0).is_some(),
        News::Alive => return false,
    }
    true
}
