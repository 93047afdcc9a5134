//! Where things lie on the hosts. The defaults are the runbook's.

use std::{fmt, path::PathBuf};

/// Where etcd lives on a master. The default is the runbook's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdLayout {
    /// systemd unit name, without `.service`. Default `etcd`.
    pub unit: String,
    /// The unit's file. Default `/etc/systemd/system/etcd.service`.
    pub unit_file: PathBuf,
    /// Directory that holds configuration and certificates. Default `/etc/etcd`.
    pub dir: PathBuf,
    /// Environment file with `ETCD_OPTS`. Default `/etc/etcd/etcd.conf`.
    pub config: PathBuf,
    /// Certificate directory. Default `/etc/etcd/ssl`.
    pub pki: PathBuf,
    /// Data directory. Default `/var/lib/etcd`.
    pub data: PathBuf,
    /// Where `etcd`, `etcdctl` (and `etcdutl`) are. Default `/usr/local/bin`.
    pub bin: PathBuf,
    /// User and group that run etcd. Default `etcd`.
    pub user: String,
    /// Client port. Default 2379.
    pub client_port: u16,
    /// Peer port. Default 2380.
    pub peer_port: u16,
}

impl Default for EtcdLayout {
    fn default() -> Self {
        Self {
            unit: "etcd".into(),
            unit_file: "/etc/systemd/system/etcd.service".into(),
            dir: "/etc/etcd".into(),
            config: "/etc/etcd/etcd.conf".into(),
            pki: "/etc/etcd/ssl".into(),
            data: "/var/lib/etcd".into(),
            bin: "/usr/local/bin".into(),
            user: "etcd".into(),
            client_port: 2379,
            peer_port: 2380,
        }
    }
}

impl EtcdLayout {
    /// The CA certificate, `ca.crt` in the certificate directory.
    pub fn ca(&self) -> PathBuf {
        self.pki.join("ca.crt")
    }

    /// The CA key, `ca.key` in the certificate directory.
    pub fn ca_key(&self) -> PathBuf {
        self.pki.join("ca.key")
    }

    /// Certificate file of a pair: `server.crt`, `peer.crt` or `client.crt`.
    pub fn cert(&self, pair: EtcdPair) -> PathBuf {
        self.pki.join(format!("{pair}.crt"))
    }

    /// Key file of a pair: `server.key`, `peer.key` or `client.key`.
    pub fn key(&self, pair: EtcdPair) -> PathBuf {
        self.pki.join(format!("{pair}.key"))
    }
}

/// The three leaf pairs of the runbook's etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EtcdPair {
    /// Shown by the client port (2379).
    Server,
    /// Shown and sent on the peer port (2380).
    Peer,
    /// Sent by etcdctl, the apiserver and calico.
    Client,
}

impl EtcdPair {
    /// All three, in the order they are re-issued.
    pub const ALL: [Self; 3] = [Self::Server, Self::Peer, Self::Client];
}

impl fmt::Display for EtcdPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Peer => "peer",
            Self::Client => "client",
        })
    }
}

/// Where Kubernetes and the workers' proxies live. The default is the runbook's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeLayout {
    /// Kubernetes configuration. Default `/etc/kubernetes`.
    pub dir: PathBuf,
    /// Static pod manifests. Default `/etc/kubernetes/manifests`.
    pub manifests: PathBuf,
    /// The certificates the components use. Default `/etc/kubernetes/pki`.
    pub pki: PathBuf,
    /// Where openssl.conf and the apiserver's certificate are made. Default `/opt/kubernetes/pki`.
    pub issue_dir: PathBuf,
    /// kubeconfig for kubectl. Default `/etc/kubernetes/admin.conf`.
    pub admin_conf: PathBuf,
    /// kubelet's unit file. Default `/etc/systemd/system/kubelet.service`.
    pub kubelet_unit_file: PathBuf,
    /// The apiserver's port. Default 6443.
    pub api_port: u16,
    /// A worker's nginx.conf. Default `/opt/nginx/nginx.conf`.
    pub nginx_conf: PathBuf,
    /// The worker's proxy container. Default `nginx-proxy`.
    pub nginx_container: String,
    /// Calico's objects, where there is a calico that keeps its data in etcd.
    pub calico: CalicoLayout,
}

/// What calico's objects are called. The default is calico's own manifests'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalicoLayout {
    /// Their namespace. Default `kube-system`.
    pub namespace: String,
    /// The Secret with etcd's CA, client certificate and key. Default `calico-etcd-secrets`.
    pub secret: String,
    /// The ConfigMap with `etcd_endpoints`. Default `calico-config`.
    pub configmap: String,
    /// The agent's daemon set. Default `calico-node`.
    pub daemonset: String,
    /// The file on every master that they were made from; may be absent. Default `/etc/kubernetes/addon/calico.yaml`.
    pub manifest: PathBuf,
}

impl Default for CalicoLayout {
    fn default() -> Self {
        Self {
            namespace: "kube-system".into(),
            secret: "calico-etcd-secrets".into(),
            configmap: "calico-config".into(),
            daemonset: "calico-node".into(),
            manifest: "/etc/kubernetes/addon/calico.yaml".into(),
        }
    }
}

impl Default for KubeLayout {
    fn default() -> Self {
        Self {
            dir: "/etc/kubernetes".into(),
            manifests: "/etc/kubernetes/manifests".into(),
            pki: "/etc/kubernetes/pki".into(),
            issue_dir: "/opt/kubernetes/pki".into(),
            admin_conf: "/etc/kubernetes/admin.conf".into(),
            kubelet_unit_file: "/etc/systemd/system/kubelet.service".into(),
            api_port: 6443,
            nginx_conf: "/opt/nginx/nginx.conf".into(),
            nginx_container: "nginx-proxy".into(),
            calico: CalicoLayout::default(),
        }
    }
}

impl KubeLayout {
    /// kubelet's unit, by its file's name.
    pub fn kubelet_unit(&self) -> String {
        let name = self.kubelet_unit_file.file_stem();
        name.map_or_else(|| "kubelet".into(), |n| n.to_string_lossy().into_owned())
    }

    /// The cluster's CA certificate as the components use it, `ca.pem` in the certificate directory.
    pub fn ca(&self) -> PathBuf {
        self.pki.join("ca.pem")
    }

    /// The apiserver's certificate as it is issued, `apiserver.pem` in the issuing directory.
    pub fn issued_cert(&self) -> PathBuf {
        self.issue_dir.join("apiserver.pem")
    }

    /// What names are put into it from, `openssl.conf` in the issuing directory.
    pub fn openssl_conf(&self) -> PathBuf {
        self.issue_dir.join("openssl.conf")
    }

    /// The CA certificate that signs, `ca.pem` in the issuing directory.
    pub fn issuing_ca(&self) -> PathBuf {
        self.issue_dir.join("ca.pem")
    }

    /// Its key, `ca-key.pem` in the issuing directory.
    pub fn issuing_ca_key(&self) -> PathBuf {
        self.issue_dir.join("ca-key.pem")
    }
}
