//! The program: hands over to `russet::cli` and ends with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    russet::cli::main()
}
