//! What a node says of itself, read: text in, values out.
//!
//! Parsers of files under /proc, /sys and /etc and of what `lsblk` and `ip` print. Must not do IO,
//! and must not stumble over anything: a line that cannot be read is passed over or said.

pub mod accounts;
pub mod devices;
pub mod kernels;
pub mod ports;
pub mod release;
pub mod swaps;
