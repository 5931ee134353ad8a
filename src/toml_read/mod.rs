//! Reading TOML that a person wrote: strict, spanned, and with every mistake of a file at once.
//!
//! Inventories and playbooks are both read through this. It must not know what either contains: it
//! knows tables, keys, words and numbers, and how to show a person where they went wrong.
//!
//! serde's `deny_unknown_fields` was tried and left: it stops at the first error.

mod decode;
mod diagnostic;
mod reader;
mod render;
mod spans;
mod suggest;

pub use decode::{Decode, Node};
pub(crate) use decode::{tables, words};
pub use diagnostic::{Diagnostic, Diagnostics, Paint, Severity, Span};
pub use reader::{Context, Document, Reader, read};
pub use spans::Spans;
pub use suggest::{closest, list};
