//! How a release is linked: without the tables for unwinding. A panic ends the program before anything is
//! unwound (`src/main.rs`), and the precompiled part of the standard library would bring them all the same.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "this is how Cargo is spoken to"
)]

fn main() {
    println!("cargo::rerun-if-changed=assets/link.rs");
    println!("cargo::rerun-if-changed=assets/link.ld");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,assets/link.ld,--no-eh-frame-hdr");
    }
}
