//! The command line: which commands there are, and what they exit with.

use super::backends::BackendsArgs;
use super::cleanup::CleanupArgs;
use super::config::ConfigArgs;
use super::flows::FlowsArgs;
use super::instance::LookError;
use super::services::ServicesArgs;
use super::status::StatusArgs;
use super::{backends, cleanup, config, flows, run, services, status};
use crate::app::AppError;
use crate::config::{ConfigError, RunArgs};
use crate::lifecycle::{CleanupError, StartError};
use clap::{Parser, Subcommand};

/// Exit code of an error that has none of its own.
const FAILED: u8 = 1;
/// Exit code of a configuration that makes no sense; clap's own for flags that it does not know.
const MISUSED: u8 = 2;

/// Sluice replaces kube-proxy: Kubernetes Services by eBPF, on any CNI.
#[derive(Parser, Debug)]
#[command(name = "sluice", version, about, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the agent of this node
    Run(Box<RunArgs>),
    /// List the Services in force, and what of them is not served
    Services(ServicesArgs),
    /// List the endpoints of Services
    Backends(BackendsArgs),
    /// List the flows of packets; connections that sockets translate have none
    Flows(FlowsArgs),
    /// Tell how the instance is: hooks, devices, table use, lag
    Status(StatusArgs),
    /// Look at a configuration file
    Config(ConfigArgs),
    /// Take programs off their hooks and remove all tables; connections through Services end
    Cleanup(CleanupArgs),
}

impl Cli {
    /// Runs the command that the process was called with. `object` is the eBPF object.
    pub fn run_from_args(object: &[u8]) -> anyhow::Result<()> {
        match Self::parse().command {
            Command::Run(args) => run::run(&args, object),
            Command::Services(args) => services::run(&args),
            Command::Backends(args) => backends::run(&args),
            Command::Flows(args) => flows::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Cleanup(args) => cleanup::run(&args),
        }
    }
}

/// An error and its causes, each said once: most errors quote their cause.
pub fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        known if known.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

/// The exit code of an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let start = error.downcast_ref::<StartError>().map(StartError::exit_code);
    let app = || error.downcast_ref::<AppError>().map(AppError::exit_code);
    let config = || error.downcast_ref::<ConfigError>().map(|_| MISUSED);
    let look = || error.downcast_ref::<LookError>().map(LookError::exit_code);
    let cleanup = || error.downcast_ref::<CleanupError>().map(CleanupError::exit_code);
    start.or_else(app).or_else(config).or_else(look).or_else(cleanup).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("no such file").context("can't read it: no such file").context("can't start");
        assert_eq!(message(&error), "can't start: can't read it: no such file");
    }

    #[test]
    fn errors_have_codes() {
        assert_eq!(exit_code(&StartError::NoObject.into()), StartError::NoObject.exit_code());
        assert_eq!(exit_code(&LookError::NoInstance("/x".into()).into()), 3);
        assert_eq!(exit_code(&CleanupError::Running("/x".into()).into()), 15);
        assert_eq!(exit_code(&anyhow::anyhow!("anything")), FAILED);
    }
}
