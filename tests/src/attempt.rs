//! A start of an agent that is expected to fail: it ends by itself, with an exit code of docs/operations.md and one message.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Result, ensure};

use crate::scenario::Scenario;

/// Seconds that an agent may take to refuse.
const LIMIT: &str = "15";

/// A second agent on node 0 of a scenario, with other addresses for health and metrics.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What runs it: a program and its arguments, before those of the agent.
    pub wrapper: Vec<String>,
    /// Its cgroup; `None` = the default.
    pub cgroup: Option<PathBuf>,
    /// Its pin folder.
    pub pins: PathBuf,
    /// Where objects come from, as flags.
    pub source: Vec<String>,
    /// Further flags.
    pub flags: Vec<String>,
}

impl Attempt {
    /// One with pins of its own, of the scenario's manifests.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            wrapper: Vec::new(),
            cgroup: Some(scenario.cluster.node_cgroup(0).path().into()),
            pins: scenario.cluster.pins(0).with_file_name("attempt"),
            source: vec!["--manifests".into(), scenario.manifests.path().display().to_string()],
            flags: Vec::new(),
        }
    }

    /// With these flags.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    /// Run by this program.
    #[must_use]
    pub fn wrapped(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs it to its end: the exit code, and all that it said.
    pub fn run(&self, scenario: &Scenario) -> Result<(Option<i32>, String)> {
        let node = scenario.cluster.node(0);
        let mut command = node.command("timeout");
        command.arg(LIMIT).args(&self.wrapper).arg(crate::agent::binary()?);
        command.arg("run").args(&self.source).arg("--bpffs").arg(&self.pins);
        command.args(["--healthz-bind-address", "127.0.0.1:11256", "--metrics-bind-address", "127.0.0.1:11249"]);
        if let Some(cgroup) = &self.cgroup {
            command.arg("--cgroup").arg(cgroup);
        }
        command.args(&self.flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = node.spawn_command(command)?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        Ok((output.status.code(), text))
    }

    /// It ends with this code and says this word.
    pub fn refused(&self, scenario: &Scenario, code: i32, word: &str) -> Result<()> {
        let (found, text) = self.run(scenario)?;
        ensure!(
            found == Some(code) && text.contains(word),
            "{self:?}: exit code {found:?}, not {code}, or no {word:?}:\n{text}"
        );
        Ok(())
    }
}
