//! The distribution's package manager, and the programs that come by it or otherwise.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use super::{clean, shell::q};

/// A package manager that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// Debian's and Ubuntu's.
    Apt,
    /// Fedora's and newer Red Hats'.
    Dnf,
    /// Older Red Hats'.
    Yum,
}

impl Manager {
    /// Its command.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Yum => "yum",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Apt, Self::Dnf, Self::Yum].into_iter().find(|m| m.word() == word)
    }
}

/// A package at one version, both in the package manager's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version: `1:2.3-4` of dpkg, `version-release` of rpm.
    pub version: String,
}

/// The distribution's package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageOp {
    /// Which programs are there, what version they say they are, and which package they belong to; read by
    /// [`parse_programs`].
    Look {
        /// Names of programs.
        programs: Vec<String>,
    },
    /// Installs packages at exactly these versions; services are not started by it where that can be prevented.
    Install {
        /// By which.
        manager: Manager,
        /// What.
        packages: Vec<Package>,
    },
    /// Removes packages that are there, their settings kept.
    Remove {
        /// By which.
        manager: Manager,
        /// Names of packages.
        packages: Vec<String>,
    },
}

/// One program on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Where it is, as it is called.
    pub path: PathBuf,
    /// Where that leads, links followed.
    pub real: PathBuf,
    /// The first line of what it says of its version.
    pub version: String,
    /// The package it belongs to.
    pub package: Option<(String, String)>,
}

/// A host's programs and its package manager.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Programs {
    /// The package manager, if a known one is there.
    pub manager: Option<Manager>,
    /// Those that are there, in the order asked.
    pub found: Vec<Program>,
}

impl Programs {
    /// The program of that name.
    pub fn get(&self, name: &str) -> Option<&Program> {
        self.found.iter().find(|p| p.name == name)
    }
}

impl PackageOp {
    /// The exact shell, see [`super::shell`].
    pub fn script(&self) -> String {
        match self {
            Self::Look { programs } => look(programs),
            Self::Install { manager, packages } => install(*manager, packages),
            Self::Remove { manager, packages } => remove(*manager, packages),
        }
    }

    /// One line for the log: what it does and to what. Never content.
    pub fn summary(&self) -> String {
        match self {
            Self::Look { programs } => tr!("look for {programs}", programs = programs.join(", ")),
            Self::Install { manager, packages } => {
                let packages: Vec<_> = packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
                format!("{} install {}", manager.word(), packages.join(", "))
            }
            Self::Remove { manager, packages } => format!("{} remove {}", manager.word(), packages.join(", ")),
        }
    }

    /// Whether it only looks.
    pub fn read_only(&self) -> bool {
        matches!(self, Self::Look { .. })
    }

    /// Most time it may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Look { .. } => 60,
            Self::Install { .. } | Self::Remove { .. } => 1200,
        })
    }
}

/// kubectl asks the API for the server's version unless told not to; none of the others talks to anything here.
fn look(programs: &[String]) -> String {
    let mut script = String::from(
        r#"PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
for m in apt-get dnf yum; do if command -v $m >/dev/null 2>&1; then echo "manager=$m"; break; fi; done
owner() {
  if command -v rpm >/dev/null 2>&1 && o=$(rpm -qf --qf '%{NAME} %{VERSION}-%{RELEASE}\n' -- "$1" 2>/dev/null); then echo "$o" | head -n 1; return; fi
  command -v dpkg-query >/dev/null 2>&1 || return 0
  for f in "$1" "${1#/usr}"; do
    o=$(dpkg-query -S -- "$f" 2>/dev/null | head -n 1) || continue
    [ -n "$o" ] || continue
    case $o in diversion*) continue;; esac
    dpkg-query -W -f '${binary:Package} ${Version}\n' "${o%%: /*}" 2>/dev/null | head -n 1
    return
  done
}
prog() {
  p=$(command -v "$1" 2>/dev/null) || return 0
  r=$(readlink -f -- "$p")
  case $1 in kubectl) v=$("$p" version --client --short 2>/dev/null || "$p" version --client 2>/dev/null);; *) v=$("$p" --version 2>/dev/null);; esac
  printf 'program=%s %s\nreal=%s\nversion=%s\npackage=%s\n' "$1" "$p" "$r" "$(printf '%s\n' "$v" | head -n 1)" "$(owner "$r")"
}
"#,
    );
    for program in programs {
        let _ = writeln!(script, "prog {}", q(program));
    }
    script + "echo end=1"
}

/// Debian's packages start what they install, and a kubelet that is started now would register under whatever name it
/// finds: policy-rc.d is Debian's own way to say no. rpm packages start nothing.
fn install(manager: Manager, packages: &[Package]) -> String {
    let list =
        |sep: &str| packages.iter().map(|p| q(&format!("{}{sep}{}", p.name, p.version))).collect::<Vec<_>>().join(" ");
    match manager {
        Manager::Apt => format!(
            "set -eu\nr=/usr/sbin/policy-rc.d\nif [ ! -e \"$r\" ]; then\n  trap 'rm -f -- \"$r\"' EXIT\n  printf '#!/bin/sh\\nexit 101\\n' > \"$r\"\n  chmod 0755 \"$r\"\nfi\nexport DEBIAN_FRONTEND=noninteractive\napt-get update -q >&2\napt-get install -qy --no-install-recommends --allow-downgrades --allow-change-held-packages -o Dpkg::Options::=--force-confold {} >&2",
            list("=")
        ),
        Manager::Dnf | Manager::Yum => {
            let epochless =
                packages.iter().map(|p| q(&format!("{}-{}", p.name, p.version))).collect::<Vec<_>>().join(" ");
            let word = manager.word();
            // kubelet's own repository is often listed with an exclude, to be lifted for exactly this; dnf 5 has no option for
            // it, dnf 4 no setting.
            format!(
                "set -eu\ncase $({word} --version 2>/dev/null) in\n  *dnf5*) all='--setopt=disable_excludes=*';;\n  *) all=--disableexcludes=all;;\nesac\n{word} install -y \"$all\" {epochless} >&2"
            )
        }
    }
}

fn remove(manager: Manager, packages: &[String]) -> String {
    let names = packages.iter().map(|p| q(p)).collect::<Vec<_>>().join(" ");
    let there = match manager {
        Manager::Apt => "dpkg-query -W -f '${db:Status-Status}' \"$p\" 2>/dev/null | grep -qx installed",
        Manager::Dnf | Manager::Yum => "rpm -q \"$p\" >/dev/null 2>&1",
    };
    format!(
        "set -eu\nexport DEBIAN_FRONTEND=noninteractive\nfor p in {names}; do\n  if {there}; then {word} remove -y \"$p\" >&2; fi\ndone",
        word = manager.word()
    )
}

/// Reads what [`PackageOp::Look`] prints. `None` when it was cut off.
pub fn parse_programs(stdout: &str) -> Option<Programs> {
    let mut programs = Programs::default();
    let mut ended = false;
    for (key, value) in stdout.lines().filter_map(|l| l.split_once('=')) {
        let value = clean::line(value);
        match key {
            "manager" => programs.manager = Manager::from_word(&value),
            "program" => {
                let (name, path) = value.split_once(' ')?;
                programs.found.push(Program { name: name.into(), path: path.into(), ..Program::default() });
            }
            "real" => programs.found.last_mut()?.real = value.into(),
            "version" => programs.found.last_mut()?.version = value,
            "package" => {
                let package = value.split_once(' ').map(|(n, v)| (n.to_owned(), v.to_owned()));
                programs.found.last_mut()?.package = package;
            }
            "end" => ended = true,
            _ => {}
        }
    }
    ended.then_some(programs)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    #[test]
    fn programs_say_where_they_are_and_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("kubelet", "Kubernetes v1.20.2"), ("kubectl", "Client Version: v1.20.2")] {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho {text}\necho more\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let op = PackageOp::Look { programs: ["kubelet", "no-such-program", "kubectl"].map(str::to_owned).into() };
        let script = format!("PATH={}:$PATH\n{}", dir.path().display(), op.script());
        let out = Command::new("sh").args(["-c", &script]).output().unwrap();
        let programs = parse_programs(&String::from_utf8(out.stdout).unwrap()).unwrap();
        assert_eq!(programs.found.len(), 2);
        let kubelet = programs.get("kubelet").unwrap();
        assert_eq!((kubelet.version.as_str(), &kubelet.package), ("Kubernetes v1.20.2", &None));
        assert_eq!(kubelet.real, fs::canonicalize(dir.path().join("kubelet")).unwrap());
        assert_eq!(programs.get("kubectl").unwrap().version, "Client Version: v1.20.2");
        assert_eq!(parse_programs("manager=apt-get\n"), None, "cut off");
    }

    #[test]
    fn versions_are_pinned() {
        let packages = vec![Package { name: "kubelet".into(), version: "1.12.6-0".into() }];
        let script = |manager| PackageOp::Install { manager, packages: packages.clone() }.script();
        assert!(script(Manager::Apt).contains("'kubelet=1.12.6-0'"), "{}", script(Manager::Apt));
        // By rpm's managers, also what their repository's settings exclude, each in its own words.
        let dir = tempfile::tempdir().unwrap();
        let said = |manager: Manager, version: &str| {
            let (program, args) = (dir.path().join(manager.word()), dir.path().join("args"));
            let text = format!(
                "#!/bin/sh\n[ \"$1\" != --version ] || exec echo '{version}'\necho \"$@\" > {}\n",
                args.display()
            );
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let script = format!("PATH={}:$PATH\n{}", dir.path().display(), script(manager));
            assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
            fs::read_to_string(args).unwrap()
        };
        assert_eq!(said(Manager::Yum, "3.4.3"), "install -y --disableexcludes=all kubelet-1.12.6-0\n");
        assert_eq!(said(Manager::Dnf, "4.14.0"), "install -y --disableexcludes=all kubelet-1.12.6-0\n");
        assert_eq!(
            said(Manager::Dnf, "dnf5 version 5.2.6.2"),
            "install -y --setopt=disable_excludes=* kubelet-1.12.6-0\n"
        );
    }

    #[test]
    fn what_is_not_installed_is_not_removed() {
        // With neither tool, "is it there" says no.
        let op = PackageOp::Remove { manager: Manager::Yum, packages: vec!["no-such-package".into()] };
        assert!(Command::new("sh").args(["-c", &op.script()]).status().unwrap().success());
    }
}
