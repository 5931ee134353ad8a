//! `slipway doctor`: read-only checks, with remedies.

use super::{
    args::Global,
    context,
    exit::{Error, Exit},
    output,
    reading::look,
};
use crate::{
    doctor::{self, Exam},
    ui::Mode,
};

pub fn doctor(global: &Global) -> Result<Exit, Error> {
    let looked = look(global)?;
    let report = doctor::examine(&Exam {
        inventory: &looked.loaded.inventory,
        facts: &looked.facts,
        unreachable: &looked.unreachable,
        ledger: Some(&looked.ledger),
        now_ms: looked.now_ms,
    });
    if context::mode(global) == Mode::Json {
        output::json(&doctor::json(&report));
    } else {
        output::out(&doctor::render(&report, output::color(), global.verbose > 0));
    }
    Ok(if report.failed() { Exit::Unhealthy } else { Exit::Done })
}
