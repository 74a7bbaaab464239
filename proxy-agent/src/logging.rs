//! Logs: to standard error, for people or as JSON. Nothing is logged per packet or per connection.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the log of this process. `verbosity` counts `-v`.
pub fn init(format: LogFormat, verbosity: u8) {
    // What the kube crates say at each try, `watch` says once, and what to do about it.
    let level = match verbosity {
        0 => "info,kube_client=off,kube_runtime=off",
        1 => "info,proxy_agent=debug,kube_client=off,kube_runtime=off",
        _ => "debug,proxy_agent=trace",
    };
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(level)).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
