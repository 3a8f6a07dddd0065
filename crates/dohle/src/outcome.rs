//! How the program ends: what it says and which number it leaves.

use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged to standard error, such as `debug` or `dohle_client=debug`.
const LOG_VARIABLE: &str = "DOHLE_LOG";

/// Logs of the program's own parts go to standard error; warnings and worse unless the environment says otherwise.
pub(crate) fn start_tracing() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// 0 when all is done, 1 when something failed; arguments that make no sense have ended the program with 2 before. Whoever
/// reads our output may stop whenever he likes: that is no failure.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe))
}
