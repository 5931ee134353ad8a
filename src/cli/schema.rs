//! `slipway schema` and completions: for editors and shells.

use clap::CommandFactory;

use super::{
    args::{Cli, Completions, Schema},
    exit::{Error, Exit},
    output,
};
use crate::{inventory, playbook::Playbook};

pub fn schema(args: &Schema) -> Result<Exit, Error> {
    let schema = match args.what.as_str() {
        "playbook" => schemars::schema_for!(Playbook).to_value(),
        _ => inventory::json_schema(),
    };
    output::out(&format!("{schema:#}\n"));
    Ok(Exit::Done)
}

pub fn completions(args: &Completions) -> Result<Exit, Error> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "slipway", &mut text);
    output::out(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}
