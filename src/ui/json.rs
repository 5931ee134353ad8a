//! One JSON object a line and nothing else on stdout, for programs.
//!
//! Must not know people: no words, no colours, nothing left out.

use std::io::Write;

use serde_json::Value;

use super::{Fold, Redactor, clean::Cleaner};
use crate::events::Stamped;

pub struct Json {
    cleaner: Cleaner,
    out: Box<dyn Write + Send>,
}

impl Json {
    pub fn new(redactor: Redactor, out: Box<dyn Write + Send>) -> Self {
        Self { cleaner: Cleaner::new(redactor), out }
    }
}

impl Fold for Json {
    fn event(&mut self, stamped: &Stamped) {
        let mut json = self.cleaner.event(stamped).to_json();
        hide(self.cleaner.redactor(), &mut json);
        let _ = writeln!(self.out, "{json}");
        // Whoever reads along wants each event when it happens.
        let _ = self.out.flush();
    }
}

/// Names too, which cleaning an event leaves alone; on values, for the text escapes some characters.
fn hide(redactor: &Redactor, value: &mut Value) {
    match value {
        Value::String(text) => *text = redactor.text(text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide(redactor, value)),
        Value::Object(fields) => fields.values_mut().for_each(|value| hide(redactor, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
