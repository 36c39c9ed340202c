//! Real packets: who reaches whom, by ICMP and HTTP, with times.

pub mod http;
pub mod icmp;
pub mod matrix;
pub mod table;
