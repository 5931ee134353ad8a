//! `slipway ledger`: what was done, read from the ledger as it lies there.

use super::{
    args::{Global, Ledger as Args, LedgerVerb},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    state::{self, Ledger, StateDir, render},
    ui::Mode,
};

pub fn ledger(global: &Global, args: &Args) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let dir = StateDir::at(&global.state_dir);
    let read = state::read(&dir, &loaded.inventory.cluster.name)?;
    let json = context::mode(global) == Mode::Json;
    match args.what {
        LedgerVerb::Show if json => output::json(&render::show_json(&read.events)),
        LedgerVerb::Show => output::out(&render::show(&read.events)),
        LedgerVerb::History if json => output::json(&render::history_json(&Ledger::fold(&read))),
        LedgerVerb::History => output::out(&render::history(&Ledger::fold(&read))),
    }
    if let Some(torn) = read.torn
        && !json
    {
        output::err(&format!(
            "note: the last line was torn by a crash and is not shown: line {}, {} bytes\n",
            torn.line, torn.bytes
        ));
    }
    Ok(Exit::Done)
}
