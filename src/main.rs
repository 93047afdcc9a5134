//! The `banister` command: reads the arguments and hands over to [`banister::app`].

use std::process::ExitCode;

fn main() -> ExitCode {
    banister::app::main()
}
