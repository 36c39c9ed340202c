//! [`Patience`]: how long an API server may keep us waiting.

use std::time::Duration;

/// How long an API server may keep us waiting before it is taken for stalled or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A watch that says nothing for this long makes us ask whether anybody is there.
    pub quiet: Duration,
    /// How long the answer to that may take.
    pub word: Duration,
    /// API servers send a bookmark about once a minute. A watch that is silent for longer than two of them does not work
    /// any more, whatever the server says when it is asked.
    pub silence: Duration,
    /// How long the beginning of any other answer may take. API servers give up on a request after a minute.
    pub answer: Duration,
    /// How often a kind is looked for that the server does not have: a CRD may be installed at any time.
    pub search: Duration,
    /// For how long such a kind may be forbidden before everything else begins without it: an API server that starts
    /// forbids a few things until it has read its own roles.
    pub grace: Duration,
}

impl Default for Patience {
    /// Quiet and word together are what client-go takes to give up a connection that is dead.
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(30),
            word: Duration::from_secs(15),
            silence: Duration::from_secs(150),
            answer: Duration::from_mins(1),
            search: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}
