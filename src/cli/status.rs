//! `slipway status`: the cluster at a glance.

use super::{
    args::Global,
    context,
    exit::{Error, Exit},
    output,
    reading::look,
};
use crate::{
    status,
    ui::{Mode, Size},
};

pub fn status(global: &Global) -> Result<Exit, Error> {
    let looked = look(global)?;
    let view = status::view(
        &looked.loaded.inventory,
        &looked.facts,
        &looked.unreachable,
        Some(&looked.ledger),
        looked.now_ms,
    );
    if context::mode(global) == Mode::Json {
        output::json(&status::json(&view));
    } else {
        let (columns, _) = Size::of_stdout().get();
        output::out(&status::render(&view, output::color(), columns.into()));
    }
    Ok(Exit::Done)
}
