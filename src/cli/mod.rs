//! The command line: one thin file per verb, and the one place where errors become text.

#![allow(clippy::disallowed_methods, reason = "the command line may look at its surroundings")]

mod agent;
mod args;
mod bundle;
mod change;
mod context;
mod deploy_key;
mod desk;
mod dismiss;
mod doctor;
mod etcd;
mod encrypted;
mod exit;
mod gitops;
mod secrets;
mod kubeconfig;
mod ledger;
mod output;
mod password;
mod playbook;
mod reading;
mod schema;
mod status;

use std::ffi::OsString;

use clap::Parser;

use args::{Cli, Verb};
pub use exit::Exit;

/// What a panic says before it ends everything.
pub fn tell_bug(bug: &std::panic::PanicHookInfo<'_>) {
    // On a node, what ops have started ends with their agent.
    crate::ops::linux::command::kill_now();
    let said = bug.payload_as_str().unwrap_or("it says nothing");
    let at = bug.location().map_or_else(String::new, |at| format!(" ({at})"));
    output::err(&format!(
        "\nerror: this is a bug in Slipway: {said}{at}\n  left: what was begun is in the ledger and in the nodes' journals\n  hint: the same command goes on; please report the first line, with the log of the run in the state directory\n"
    ));
}

/// Parses the arguments, does what they say, and tells how it ended.
pub fn main(arguments: impl Iterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are a success; the rest is bad usage.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let Cli { global, verb } = cli;
    let mode = context::mode(&global);
    let result = match verb {
        Verb::Plan(args) => change::plan(&global, "bootstrap", &args),
        Verb::Bootstrap(args) => change::bootstrap(&global, &args),
        Verb::JoinNode(args) => change::join_node(&global, &args),
        Verb::Upgrade(args) => change::upgrade(&global, &args),
        Verb::RemoveNode(args) => change::remove_node(&global, &args),
        Verb::Reset(args) if args.agent => dismiss::dismiss(&global, &args.change),
        Verb::Reset(args) => change::reset(&global, &args),
        Verb::Status => status::status(&global),
        Verb::Doctor => doctor::doctor(&global),
        Verb::Etcd(args) => etcd::etcd(&global, &args),
        Verb::Kubeconfig(args) => kubeconfig::kubeconfig(&global, &args),
        Verb::Bundle(args) => bundle::bundle(&global, &args),
        Verb::Ledger(args) => ledger::ledger(&global, &args),
        Verb::Playbook(args) => playbook::playbook(&global, &args),
        Verb::Gitops(args) => gitops::gitops(&global, &args),
        Verb::Schema(args) => schema::schema(&args),
        Verb::Agent(args) => agent::agent(&args),
        Verb::Completions(args) => schema::completions(&args),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            error.show(mode);
            error.exit
        }
    }
}
