//! The `rekindle` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    rekindle::cli::main(std::env::args_os())
}
