//! Arguments, runtime, exit code: the only place that exits.

use std::process::ExitCode;

use slipway::cli;

fn main() -> ExitCode {
    // A bug ends all of it, here and on a node, as a power cut would, which everything is made for. To go on
    // beside a part that failed in a way that nobody thought of is for programs that cannot wipe disks.
    std::panic::set_hook(Box::new(|bug| {
        cli::tell_bug(bug);
        end();
    }));
    cli::main(std::env::args_os()).into()
}

#[expect(clippy::disallowed_methods, reason = "this is main, and there is nobody to return to")]
fn end() -> ! {
    std::process::exit(1)
}
