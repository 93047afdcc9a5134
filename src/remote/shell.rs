//! An operation as the exact POSIX shell that runs, quoting in one place.

use super::op::{Content, Op, SecretBytes};

/// A script and what goes into its standard input.
pub struct Rendered {
    /// POSIX shell.
    pub script: String,
    /// Standard input, when the operation brings its own.
    pub stdin: Option<SecretBytes>,
}

/// A stub, to compile against.
pub fn render(op: &Op) -> Rendered {
    let (script, stdin) = match op {
        Op::ReadFile { path } | Op::ReadSecret { path } => (format!("cat '{}'", path.display()), None),
        Op::ReceiveFile { path, .. } => (format!("cat > '{}'", path.display()), None),
        Op::WriteFile { path, content, .. } => (format!("cat > '{}'", path.display()), Some(bytes(content))),
        Op::FollowLog { unit, .. } => (
            format!(
                "exec 3<&0; sleep 1000 </dev/null & p=$!; (cat <&3 >/dev/null; kill $p) >/dev/null 2>&1 & echo {unit}; wait $p"
            ),
            None,
        ),
        other => (format!("echo '{}'", other.summary()), None),
    };
    Rendered { script, stdin }
}

fn bytes(content: &Content) -> SecretBytes {
    SecretBytes::new(content.bytes().to_vec())
}
