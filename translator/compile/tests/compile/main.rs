//! What the compiler makes of a cluster, seen from outside.

mod addresses;
mod effort;
mod golden;
mod pods;
mod properties;
mod slices;
mod support;
