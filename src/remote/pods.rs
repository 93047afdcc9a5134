//! What a stopped kubelet leaves behind, and what a container was started with.

use std::time::Duration;

use super::shell::{NOT_THERE, q};

/// The pods of a node, as its container runtime and the kernel know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodsOp {
    /// Stops and removes every container that kubelet made, static pods included, and unmounts their volumes: a stopped
    /// kubelet leaves them running. Nothing is wrong where there is no runtime or it does not run.
    StopAll,
    /// The value of one variable in a container's environment, on standard output. Status 44 when the container or the
    /// variable is not there.
    Env {
        /// Container id without its scheme.
        container: String,
        /// Name of the variable.
        variable: String,
    },
}

/// dockershim labels what it makes; crictl knows only such.
const STOP_ALL: &str = r#"set -u
if command -v docker >/dev/null && ids=$(docker ps -aq --filter label=io.kubernetes.pod.uid 2>/dev/null) && [ -n "$ids" ]; then
  docker stop -t 3 $ids >/dev/null 2>&1
  docker rm -f $ids >/dev/null
elif command -v crictl >/dev/null && ids=$(crictl pods -q 2>/dev/null) && [ -n "$ids" ]; then
  crictl stopp $ids >/dev/null && crictl rmp -f $ids >/dev/null
fi || exit 1
while read -r _ m _; do
  case $m in /var/lib/kubelet/pods/*) printf '%s\n' "$m";; esac
done </proc/mounts | sort -r | while IFS= read -r m; do umount -- "$m" || umount -l -- "$m"; done"#;

impl PodsOp {
    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        match self {
            Self::StopAll => STOP_ALL.into(),
            Self::Env { container, variable } => env(container, variable),
        }
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match self {
            Self::StopAll => trs!("stop and remove every container that kubelet made").into(),
            Self::Env { container, variable } => {
                tr!(
                    "{variable} of container {take}",
                    variable = variable,
                    take = container.chars().take(12).collect::<String>()
                )
            }
        }
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Env { .. })
    }

    /// Most time it may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(if self.read_only() { 20 } else { 180 })
    }
}

/// docker tells; with any other runtime a process of the container does, found by its cgroup.
fn env(container: &str, variable: &str) -> String {
    format!(
        "v={v}\nshow() {{ while IFS= read -r l; do case $l in \"$v=\"*) printf '%s\\n' \"${{l#*=}}\"; return 0;; esac; done; return 1; }}\nif command -v docker >/dev/null && docker inspect --format '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {id} 2>/dev/null | show; then exit 0; fi\nfor p in /proc/[0-9]*; do\n  grep -qsF {id} \"$p/cgroup\" || continue\n  tr '\\0' '\\n' 2>/dev/null <\"$p/environ\" | show && exit 0\ndone\nexit {NOT_THERE}",
        v = q(variable),
        id = q(container),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_container_that_is_not_there_has_no_environment() {
        let op = PodsOp::Env { container: "0123456789abcdef-no-such".into(), variable: "PATH".into() };
        let out = Command::new("sh").args(["-c", &op.script()]).output().unwrap();
        assert_eq!(out.status.code(), i32::try_from(NOT_THERE).ok());
        assert!(out.stdout.is_empty());
    }

    #[test]
    fn the_scripts_are_shell_that_parses() {
        for op in [PodsOp::StopAll, PodsOp::Env { container: "it's".into(), variable: "A B".into() }] {
            assert!(Command::new("sh").args(["-n", "-c", &op.script()]).status().unwrap().success(), "{op:?}");
        }
    }
}
