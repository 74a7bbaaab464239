//! `sluice run` on a node of a cluster: started as the node's daemon, killed, restarted, asked.
//!
//! Invariant: an agent's process ends with its handle; what it pinned ends with the rig, or earlier by [`Agent::clean`].

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, Host};
use crate::http::{self, Page};
use crate::metrics::Metrics;

/// How long an agent may take from its start until it is healthy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Into the cgroup that is named first, which is then the root of the only hierarchy that is mounted from its root on, at the second; the
/// pins' file system shows the third; no report is left. Then the other words.
const AS_ON_A_HOST: &str = "echo $$ >\"$1\"/cgroup.procs && exec unshare --mount --cgroup sh -c '\
                            mount -t cgroup2 none \"$2\" && mount --bind \"$3\" /sys/fs/bpf && \
                            mkdir -p /run/sluice && mount -t tmpfs none /run/sluice && shift 3 && exec \"$@\"' sh \"$@\"";

/// Names the step at which an agent is to kill itself.
const FAULT: &str = "SLUICE_FAULT";
/// For an agent to get there, on cores shared with others; it is a second on idle ones.
const PATIENCE_TO_DIE: Duration = Duration::from_secs(60);

/// An agent, running or not.
#[derive(Debug)]
pub struct Agent {
    host: Arc<Host>,
    arguments: Vec<String>,
    pins: PathBuf,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Agent {
    /// An agent for a node that takes its objects from `manifests`. `extra` are further flags of `sluice run`. It does
    /// not run yet.
    pub fn for_node(cluster: &Cluster, node: usize, manifests: &Path, extra: &[&str]) -> Self {
        let manifests = manifests.display().to_string();
        Self::with_source(cluster, node, &["--manifests", &manifests], extra)
    }

    /// An agent that takes its objects from wherever the flags in `source` say.
    pub fn with_source(cluster: &Cluster, node: usize, source: &[&str], extra: &[&str]) -> Self {
        let host = Arc::clone(&cluster.nodes()[node]);
        let pins = cluster.pins(node);
        let (cgroup, folder) = (cluster.node_cgroup(node).path().display().to_string(), pins.display().to_string());
        let place = ["--cgroup", &cgroup, "--bpffs", &folder];
        let listeners = ["--healthz-bind-address", "0.0.0.0:10256", "--metrics-bind-address", "127.0.0.1:10249"];
        Self::new(cluster, host, pins, &[source, &place, &listeners, extra].concat())
    }

    /// An agent that is told nothing but its node's name and where its objects are: in namespaces of its own it finds its node's cgroup
    /// and pins where it would find those of a host. The node must have no other.
    pub fn as_on_a_host(cluster: &Cluster, node: usize, manifests: &Path) -> Result<Self> {
        let host = Arc::clone(&cluster.nodes()[node]);
        let pins = cluster.pins(node).with_file_name("sluice");
        let mount = cluster.scratch().join("cgroup");
        fs::create_dir_all(&mount)?;
        let pins_of_all = pins.parent().context("a folder above the pins")?;
        let [cgroup, mount, pins_of_all] =
            [cluster.node_cgroup(node).path(), &mount, pins_of_all].map(|path| path.display().to_string());
        let mut agent = Self::new(cluster, host, pins, &["--manifests", &manifests.display().to_string()]);
        agent.wrap(&["sh", "-c", AS_ON_A_HOST, "sh", &cgroup, &mount, &pins_of_all]);
        Ok(agent)
    }

    fn new(cluster: &Cluster, host: Arc<Host>, pins: PathBuf, further: &[&str]) -> Self {
        let name = host.name();
        let arguments = ["run", "--hostname-override", name].iter().chain(further).map(|&word| word.to_owned()).collect();
        let log = cluster.scratch().join(format!("{name}.log"));
        Self { host, arguments, pins, environment: Vec::new(), wrapper: Vec::new(), log, child: None }
    }

    /// Sets an environment variable for the next starts.
    pub fn set_env(&mut self, key: &str, value: &str) {
        self.environment.retain(|(known, _)| known != key);
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Takes all capabilities but these from the next starts; they are named as in a container's security context.
    pub fn limit_capabilities(&mut self, names: &[String]) {
        let kept: String = names.iter().map(|name| format!(",+{}", name.to_lowercase())).collect();
        self.wrapper = ["setpriv", &format!("--bounding-set=-all{kept}"), "--no-new-privs"].map(str::to_owned).into();
    }

    /// Puts further words before those of the next starts.
    pub fn wrap(&mut self, words: &[&str]) {
        self.wrapper.splice(0..0, words.iter().map(|&word| word.to_owned()));
    }

    /// Starts it and waits until it is healthy.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_healthy()
    }

    /// Starts it and returns at once.
    pub fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let words = self.wrapper.iter().map(Into::into).chain([binary()?.into_os_string()]);
        let mut words = words.collect::<Vec<OsString>>().into_iter();
        let mut command = self.host.command(words.next().context("a program to start")?);
        command.args(words).args(&self.arguments).envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(self.host.spawn_command(command)?);
        Ok(())
    }

    /// Waits until `/healthz` answers 200.
    pub fn wait_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(page) = self.healthz()
                && page.status == 200
            {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().context("the agent is not started")?.try_wait()? {
                bail!("sluice on {} ended with {status}:\n{}", self.host.name(), self.log_tail(30));
            }
            if Instant::now() > deadline {
                bail!("sluice on {} is not healthy after {PATIENCE:?}:\n{}", self.host.name(), self.log_tail(30));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it, and returns when it has killed itself at a step of its start; that of a link is called like its pin and comes once it
    /// is in place. The next start goes through.
    pub fn die_at(&mut self, step: &str) -> Result<()> {
        self.set_env(FAULT, step);
        self.launch()?;
        let status = self.wait_end(PATIENCE_TO_DIE)?.context("the agent lives on")?;
        self.set_env(FAULT, "");
        if status.signal() != Some(Signal::SIGKILL as i32) {
            bail!("sluice on {} ended with {status}:\n{}", self.host.name(), self.log_tail(5));
        }
        Ok(())
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the agent is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM; returns the exit code when the process is gone, none if it had to be killed after 10 s.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        let mut child = self.child.take().context("the agent is not running")?;
        kill(Pid::from_raw(child.id().try_into()?), Signal::SIGTERM)?;
        for _ in 0..1000 {
            if let Some(status) = child.try_wait()? {
                return Ok(status.code());
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()?;
        Ok(None)
    }

    /// Waits until the process ends by itself; none if it still runs after `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
        let child = self.child.as_mut().context("the agent is not running")?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    /// The id of its process, once it was started.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Lets the process go on when the handle is gone, until the rig is reaped.
    pub fn leave(mut self) {
        std::mem::forget(self.child.take());
    }

    /// `GET /healthz` on the health port.
    pub fn healthz(&self) -> Result<Page> {
        http::get(self.host.netns(), SocketAddr::from((Ipv4Addr::LOCALHOST, 10256)), "/healthz")
    }

    /// `GET /livez` on the health port.
    pub fn livez(&self) -> Result<Page> {
        http::get(self.host.netns(), SocketAddr::from((Ipv4Addr::LOCALHOST, 10256)), "/livez")
    }

    /// A page of the metrics port.
    pub fn page(&self, path: &str) -> Result<Page> {
        http::get(self.host.netns(), SocketAddr::from((Ipv4Addr::LOCALHOST, 10249)), path)
    }

    /// All counters.
    pub fn metrics(&self) -> Result<Metrics> {
        let page = self.page("/metrics")?;
        if page.status != 200 {
            bail!("/metrics on {} answers {}", self.host.name(), page.head);
        }
        Ok(Metrics::parse(&page.body))
    }

    /// Runs another subcommand over this agent's pins, on its node, and returns what it printed.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let (binary, pins) = (binary()?, self.pins.display().to_string());
        let mut all = arguments.to_vec();
        all.extend(["--bpffs", &pins]);
        self.host.run(&binary.display().to_string(), &all)
    }

    /// Runs `sluice cleanup`: nothing may stay pinned or attached.
    pub fn clean(&mut self) -> Result<()> {
        if self.is_running() {
            self.stop()?;
        }
        self.cli(&["cleanup"]).map(drop)
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The whole log, all runs of this agent.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the log of sluice on {} ends with:\n{}", self.host.name(), self.log_tail(30));
        }
        if let Some(mut child) = self.child.take() {
            // It has ended already if this fails.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The agent's program: `$SLUICE_BIN`, or what `cargo xtask build` left near the running program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("SLUICE_BIN") {
        return Ok(path.into());
    }
    let program = env::current_exe().context("the path of the running program")?;
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join("sluice")).find(|path| path.exists());
    found.with_context(|| format!("no sluice near {}: cargo xtask build", program.display()))
}
