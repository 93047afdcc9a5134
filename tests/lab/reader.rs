//! A client on a worker that reads the API through the worker's own proxy, a new connection each time, as curl makes it.
//! A request that fails is tried once more a second later, as any client of the API does; nothing else is forgiven.

use std::time::Duration;

use super::hosts::{Lab, say, wait_for};

const DIR: &str = "/run/reader";

/// What it reads lies in etcd: an apiserver that has lost its members cannot answer it.
const SCRIPT: &str = r#"
cd /run/reader
pki=/etc/kubernetes/pki
api() {
  curl --silent --show-error --fail --max-time 5 --cacert $pki/ca.pem --cert $pki/admin.pem --key $pki/admin-key.pem \
    --output /dev/null https://127.0.0.1:6443/api/v1/namespaces/kube-system/configmaps/calico-config
}
while [ ! -e stop ]; do
  if ! api 2>error; then
    echo "$(date +%T.%3N) $(cat error)" >>retried
    sleep 1
    api 2>error || echo "$(date +%T.%3N) $(cat error)" >>failed
  fi
  echo answered >>requests
  sleep 0.15
done
touch ended
"#;

/// Reads until it is stopped.
pub struct Reader<'a> {
    lab: &'a Lab,
    host: String,
}

impl<'a> Reader<'a> {
    /// Starts reading on that worker; returns once the first requests are answered.
    pub fn start(lab: &'a Lab, host: &str) -> Self {
        lab.on(host, &format!("rm -rf {DIR} && mkdir {DIR} && cat >{DIR}/script <<'END'\n{SCRIPT}END\nsetsid bash {DIR}/script </dev/null >/dev/null 2>&1 &"));
        let reader = Self { lab, host: host.to_owned() };
        reader.goes_on(5);
        reader
    }

    fn lines(&self, file: &str) -> Vec<String> {
        self.lab.on(&self.host, &format!("cat {DIR}/{file} 2>/dev/null; true")).lines().map(ToOwned::to_owned).collect()
    }

    /// Waits until that many more requests are over.
    pub fn goes_on(&self, more: usize) {
        let goal = self.lines("requests").len() + more;
        wait_for("the reader", Duration::from_secs(30), || match self.lines("requests").len() {
            count if count >= goal => Ok(()),
            count => Err(format!("{count} of {goal} requests over; {:?}", self.lines("retried").last())),
        });
    }

    /// Some more requests, then the end: none may have failed twice.
    pub fn end(self) {
        self.goes_on(5);
        self.lab.on(&self.host, &format!("touch {DIR}/stop"));
        wait_for("the reader's end", Duration::from_secs(15), || {
            let ended = self.lab.try_on(&self.host, &format!("test -e {DIR}/ended")).status.success();
            if ended { Ok(()) } else { Err("it still reads".to_owned()) }
        });
        let (all, retried, failed) = (self.lines("requests").len(), self.lines("retried"), self.lines("failed"));
        say(format!(
            "the API through {}'s proxy: {all} requests, {} tried again: {retried:?}",
            self.host,
            retried.len()
        ));
        assert!(failed.is_empty(), "{}: requests that failed twice: {failed:?}\nonce: {retried:?}", self.host);
    }
}
