//! What the compiler makes of a cluster, seen from outside.

mod golden;
mod support;
