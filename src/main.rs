//! Arguments, runtime, exit code: the only place that exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    slipway::cli::main(std::env::args_os()).into()
}
