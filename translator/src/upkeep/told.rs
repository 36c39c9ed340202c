//! [`Told`]: what objects were last told, so that nobody is told the same over and over.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// An API server that keeps nothing of a patch, or another program that undoes it, is not told it over and over.
const AGAIN: Duration = Duration::from_mins(5);

/// The last that each object was told.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<String, (Value, Instant)>);

impl Told {
    /// Whether a patch is not what was said a moment ago, be it at another time and of another version; from now on it is.
    pub(crate) fn is_news(&mut self, of: &str, patch: &Value, now: Instant) -> bool {
        let mut said = patch.clone();
        if let Some(metadata) = said.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        let conditions = said.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            condition["lastTransitionTime"].take();
        }
        self.0.retain(|_, (_, at)| now < *at + AGAIN);
        let same = self.0.get(of).is_some_and(|(before, _)| *before == said);
        if !same {
            self.0.insert(of.to_owned(), (said, now));
        }
        !same
    }

    /// When something that was said may be said again.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.0.values().map(|(_, at)| *at + AGAIN).min()
    }

    /// It did not get to know.
    pub(crate) fn forget(&mut self, of: &str) {
        self.0.remove(of);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_told_again_when_it_differs_by_more_than_a_time() {
        let mut told = Told::default();
        let now = Instant::now();
        let patch = |free: u32, at: &str| {
            let status = json!({"ipv4": {"free": free}, "conditions": [{"lastTransitionTime": at}]});
            json!({"metadata": {"resourceVersion": at}, "status": status})
        };
        assert!(told.is_news("public", &patch(1, "a"), now));
        assert!(!told.is_news("public", &patch(1, "b"), now));
        assert!(told.is_news("public", &patch(2, "b"), now));
        assert!(told.is_news("public", &patch(2, "b"), now + AGAIN));
        assert!(told.is_news("other", &patch(2, "b"), now));
    }

    #[test]
    fn a_finalizer_is_told_again_when_it_is_another() {
        let mut told = Told::default();
        let now = Instant::now();
        let patch = |version: &str, finalizers: &[&str]| json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        assert!(told.is_news("blue", &patch("1", &["a"]), now));
        assert!(!told.is_news("blue", &patch("2", &["a"]), now));
        assert!(told.is_news("blue", &patch("3", &[]), now));
        told.forget("blue");
        assert!(told.is_news("blue", &patch("4", &[]), now));
    }
}
