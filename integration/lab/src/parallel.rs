//! The same work for many things side by side.

use std::sync::Mutex;
use std::thread;

use crate::error::{Error, Result};

/// Enough to overlap the waiting of many, few enough for two cores.
const AT_ONCE: usize = 16;

/// Does `work` for every item and tells every failure, in the order of the items.
pub(crate) fn each<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let items: Vec<_> = items.into_iter().collect();
    let threads = items.len().min(AT_ONCE);
    let queue = Mutex::new(items.into_iter().enumerate());
    let errors = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nobody panics").next();
                    let Some((index, item)) = next else { break };
                    if let Err(e) = work(item) {
                        errors.lock().expect("nobody panics").push((index, e));
                    }
                }
            });
        }
    });
    let mut errors = errors.into_inner().expect("nobody panics");
    errors.sort_by_key(|(index, _)| *index);
    Error::all(errors.into_iter().map(|(_, e)| e).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_tried_and_every_failure_told() {
        let result = each(0..100, |n| {
            if n % 50 == 3 {
                return Err(Error::Object {
                    object: n.to_string(),
                    reason: "odd".into(),
                });
            }
            Ok(())
        });
        assert_eq!(result.unwrap_err().to_string(), "3: odd\n53: odd");
    }
}
