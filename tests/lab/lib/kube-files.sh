# shellcheck shell=bash
# shellcheck disable=SC2153  # ADDRESS and MASTERS are set by name_hosts
# A Kubernetes host's files, written under ROOT as they will lie under /.

SERVICE_NET=100.64
CLUSTER_DNS=$SERVICE_NET.0.2

seed_kube_master() {
  local host=$1 root=$2 address=${ADDRESS[$1]} etc=$2/etc/kubernetes
  mkdir -p "$etc/manifests" "$etc/addon"
  seed_kubelet "$host" "$root"
  install -m 0755 "$LAB_KUBE_BIN/kubectl" "$root/usr/bin/"
  cp -a "$LAB_STATE/kube/pki" "$etc/"
  cp "$LAB_STATE/kube/encryption.yaml" "$etc/"
  chmod 0600 "$etc/encryption.yaml"
  cp "$LAB_STATE/kube/calico.yaml" "$etc/addon/"
  kubeconfig "https://$address:6443" >"$etc/kubeconfig"
  kubeconfig "https://$address:6443" >"$etc/kubeadminconfig"
  admin_conf "$address" >"$etc/admin.conf"
  chmod 0600 "$etc/admin.conf"
  manifest_apiserver "$address" >"$etc/manifests/kube-apiserver.json"
  manifest_controller_manager "$address" >"$etc/manifests/kube-controller-manager.json"
  manifest_scheduler "$address" >"$etc/manifests/kube-scheduler.json"
  seed_calico "$host" "$root"
  if [[ $host == "${MASTERS[0]}" ]]; then
    mkdir -p "$root/opt/kubernetes"
    cp -a "$LAB_STATE/kube/workshop" "$root/opt/kubernetes/pki"
  fi
}

seed_kube_worker() {
  local host=$1 root=$2 etc=$2/etc/kubernetes name
  mkdir -p "$etc/pki" "$root/opt/nginx"
  seed_kubelet "$host" "$root"
  for name in ca admin admin-key; do cp -a "$LAB_STATE/kube/pki/$name.pem" "$etc/pki/"; done
  kubeconfig https://127.0.0.1:6443 >"$etc/kubeconfig"
  seed_calico "$host" "$root"
  nginx_conf >"$root/opt/nginx/nginx.conf"
}

# The unit and its variables are the runbook's; --cgroups-per-qos and what follows let a kubelet live in a container.
seed_kubelet() {
  local host=$1 root=$2
  mkdir -p "$root"/{usr/bin,etc/systemd/system,etc/kubernetes,etc/kubernetes/manifests,var/lib/kubelet}
  install -m 0755 "$LAB_KUBE_BIN/kubelet" "$root/usr/bin/"
  cat >"$root/etc/systemd/system/kubelet.service" <<'TEXT'
[Unit]
Description=Kubernetes Kubelet Server
Documentation=https://github.com/GoogleCloudPlatform/kubernetes
After=docker.service
Requires=docker.service

[Service]
WorkingDirectory=/var/lib/kubelet
EnvironmentFile=-/etc/kubernetes/kubelet
ExecStart=/usr/bin/kubelet \
        $KUBELET_ADDRESS \
        $KUBELET_POD_INFRA_CONTAINER \
        $KUBELET_ARGS \
        $KUBE_LOGTOSTDERR \
        $KUBE_ALLOW_PRIV \
        $KUBELET_NETWORK_ARGS \
        $KUBELET_DNS_ARGS
Restart=on-failure

[Install]
WantedBy=multi-user.target
TEXT
  cat >"$root/etc/kubernetes/kubelet" <<TEXT
KUBELET_ADDRESS="--address=0.0.0.0"
KUBELET_POD_INFRA_CONTAINER="--pod-infra-container-image=lab/pause:3.2"
KUBELET_ARGS="--kubeconfig=/etc/kubernetes/kubeconfig --hostname-override=$host.$LAB_DOMAIN --pod-manifest-path=/etc/kubernetes/manifests --config=/var/lib/kubelet/config.yaml --cgroup-driver=cgroupfs --cgroups-per-qos=false --enforce-node-allocatable= --eviction-hard= --image-gc-high-threshold=100"
KUBE_LOGTOSTDERR="--logtostderr=true --v=2"
KUBE_ALLOW_PRIV=""
KUBELET_NETWORK_ARGS="--network-plugin=cni --cni-conf-dir=/etc/cni/net.d --cni-bin-dir=/opt/cni/bin"
KUBELET_DNS_ARGS="--cluster-dns=$CLUSTER_DNS --cluster-domain=cluster.local"
TEXT
  cat >"$root/var/lib/kubelet/config.yaml" <<'TEXT'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous:
    enabled: false
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.pem
authorization:
  mode: AlwaysAllow
failSwapOn: false
serializeImagePulls: false
TEXT
}

# kubeconfig SERVER, in the layout the runbook's line numbers tell of: two clusters, one user.
kubeconfig() {
  cat <<TEXT
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: $1
    certificate-authority: /etc/kubernetes/pki/ca.pem
  name: kubernetes
- name: local
  cluster:
    server: $1
    certificate-authority: /etc/kubernetes/pki/ca.pem
users:
- name: admin
  user:
    client-certificate: /etc/kubernetes/pki/admin.pem
    client-key: /etc/kubernetes/pki/admin-key.pem
contexts:
- context:
    cluster: kubernetes
    user: admin
  name: default
current-context: default
TEXT
}

admin_conf() {
  local pki=$LAB_STATE/kube/pki
  cat <<TEXT
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: $(base64 -w 0 <"$pki/ca.pem")
    server: https://$1:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
users:
- name: kubernetes-admin
  user:
    client-certificate-data: $(base64 -w 0 <"$pki/admin.pem")
    client-key-data: $(base64 -w 0 <"$pki/admin-key.pem")
TEXT
}

# The manifests keep a hand-edited file's odd corners: a line indented by tabs, keys in no order.
manifest_apiserver() {
  cat <<TEXT
{
  "kind": "Pod",
  "apiVersion": "v1",
  "metadata": {
    "name": "kube-apiserver",
    "namespace": "kube-system",
    "labels": {
      "component": "kube-apiserver",
      "tier": "control-plane"
    }
  },
  "spec": {
    "hostNetwork": true,
    "priorityClassName": "system-node-critical",
    "volumes": [
      {
        "name": "kubernetes",
        "hostPath": { "path": "/etc/kubernetes" }
      },
      {
        "name": "etcd-ssl",
        "hostPath": { "path": "/etc/etcd/ssl" }
      }
    ],
    "containers": [
      {
        "name": "kube-apiserver",
        "image": "lab/kube-apiserver:v$KUBE_VERSION",
        "imagePullPolicy": "IfNotPresent",
        "command": [
          "kube-apiserver",
          "--allow-privileged=true",
          "--authorization-mode=RBAC",
          "--client-ca-file=/etc/kubernetes/pki/ca.pem",
          "--enable-admission-plugins=NodeRestriction",
          "--encryption-provider-config=/etc/kubernetes/encryption.yaml",
          "--kubelet-client-certificate=/etc/kubernetes/pki/admin.pem",
          "--kubelet-client-key=/etc/kubernetes/pki/admin-key.pem",
	  "--advertise-address=$1",
          "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.pem",
          "--requestheader-allowed-names=front-proxy-client",
          "--requestheader-extra-headers-prefix=X-Remote-Extra-",
          "--requestheader-group-headers=X-Remote-Group",
          "--requestheader-username-headers=X-Remote-User",
          "--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.pem",
          "--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client-key.pem",
          "--insecure-port=0",
          "--secure-port=6443",
          "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
          "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
          "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
          "--service-cluster-ip-range=$SERVICE_NET.0.0/16",
          "--storage-backend=etcd3",
          "--tls-cert-file=/etc/kubernetes/pki/apiserver.pem",
          "--tls-private-key-file=/etc/kubernetes/pki/apiserver-key.pem",
          "--etcd-cafile=/etc/etcd/ssl/ca.crt",
          "--etcd-certfile=/etc/etcd/ssl/client.crt",
          "--etcd-keyfile=/etc/etcd/ssl/client.key",
          "--etcd-servers=$(endpoints)"
        ],
        "livenessProbe": {
          "httpGet": { "host": "127.0.0.1", "path": "/livez", "port": 6443, "scheme": "HTTPS" },
          "initialDelaySeconds": 30,
          "timeoutSeconds": 15,
          "failureThreshold": 8
        },
        "volumeMounts": [
          {
            "name": "kubernetes",
            "mountPath": "/etc/kubernetes",
            "readOnly": true
          },
          {
            "name": "etcd-ssl",
            "mountPath": "/etc/etcd/ssl",
            "readOnly": true
          }
        ]
      }
    ]
  }
}
TEXT
}

manifest_controller_manager() {
  manifest_client kube-controller-manager 10257 \
    "--master=https://$1:6443" --kubeconfig=/etc/kubernetes/kubeadminconfig \
    --authentication-kubeconfig=/etc/kubernetes/kubeadminconfig --authorization-kubeconfig=/etc/kubernetes/kubeadminconfig \
    --leader-elect=true --port=0 --root-ca-file=/etc/kubernetes/pki/ca.pem \
    --cluster-signing-cert-file=/etc/kubernetes/pki/ca.pem --cluster-signing-key-file=/etc/kubernetes/pki/ca-key.pem \
    --service-account-private-key-file=/etc/kubernetes/pki/sa.key "--service-cluster-ip-range=$SERVICE_NET.0.0/16"
}

manifest_scheduler() {
  manifest_client kube-scheduler 10259 --kubeconfig=/etc/kubernetes/kubeadminconfig \
    --authentication-kubeconfig=/etc/kubernetes/kubeadminconfig --authorization-kubeconfig=/etc/kubernetes/kubeadminconfig \
    --leader-elect=true --port=0 "--master=https://$1:6443"
}

# manifest_client NAME PORT FLAG...
manifest_client() {
  local name=$1 port=$2
  shift 2
  jq --null-input --arg name "$name" --arg image "lab/$name:v$KUBE_VERSION" --argjson port "$port" '{
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name: $name, namespace: "kube-system", labels: { component: $name, tier: "control-plane" } },
    spec: {
      hostNetwork: true,
      priorityClassName: "system-node-critical",
      volumes: [{ name: "kubernetes", hostPath: { path: "/etc/kubernetes" } }],
      containers: [{
        name: $name,
        image: $image,
        imagePullPolicy: "IfNotPresent",
        command: ([$name] + $ARGS.positional),
        livenessProbe: {
          httpGet: { host: "127.0.0.1", path: "/healthz", port: $port, scheme: "HTTPS" },
          initialDelaySeconds: 30, timeoutSeconds: 15, failureThreshold: 8
        },
        volumeMounts: [{ name: "kubernetes", mountPath: "/etc/kubernetes", readOnly: true }]
      }]
    }
  }' --args -- "$@"
}

# Calico as it lies on a host: its client's settings, the CNI network, the plugins, the node's name with no newline.
seed_calico() {
  local host=$1 root=$2
  mkdir -p "$root"/{etc/calico,etc/cni/net.d/calico-tls,opt/cni/bin,var/lib/calico,var/lib/cni/networks/k8s-pod-network}
  cp "$LAB_CNI"/* "$root/opt/cni/bin/"
  printf '%s' "$host.$LAB_DOMAIN" >"$root/var/lib/calico/nodename"
  cat >"$root/etc/calico/calicoctl.cfg" <<TEXT
apiVersion: projectcalico.org/v3
kind: CalicoAPIConfig
metadata:
spec:
  datastoreType: etcdv3
  etcdEndpoints: $(endpoints)
  etcdKeyFile: /etc/cni/net.d/calico-tls/etcd-key
  etcdCertFile: /etc/cni/net.d/calico-tls/etcd-cert
  etcdCACertFile: /etc/cni/net.d/calico-tls/etcd-ca
TEXT
  cp "$LAB_STATE/etcd/ca.crt" "$root/etc/cni/net.d/calico-tls/etcd-ca"
  cp "$LAB_STATE/etcd/client.crt" "$root/etc/cni/net.d/calico-tls/etcd-cert"
  install -m 0600 "$LAB_STATE/etcd/client.key" "$root/etc/cni/net.d/calico-tls/etcd-key"
  cat >"$root/etc/cni/net.d/10-calico.conflist" <<TEXT
{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "calico",
      "log_level": "info",
      "etcd_endpoints": "$(endpoints)",
      "etcd_key_file": "/etc/cni/net.d/calico-tls/etcd-key",
      "etcd_cert_file": "/etc/cni/net.d/calico-tls/etcd-cert",
      "etcd_ca_cert_file": "/etc/cni/net.d/calico-tls/etcd-ca",
      "ipam": { "type": "calico-ipam" },
      "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "/etc/kubernetes/kubeconfig" }
    },
    { "type": "portmap", "snat": true, "capabilities": { "portMappings": true } }
  ]
}
TEXT
  printf '192.168.0.1' >"$root/var/lib/cni/networks/k8s-pod-network/last_reserved_ip.0"
}

# /etc/kubernetes/addon/calico.yaml; a pause container stands in for the agent.
calico_yaml() {
  cat <<TEXT
# Calico on etcd
kind: ConfigMap
apiVersion: v1
metadata:
  name: calico-config
  namespace: kube-system
data:
  # every member of the cluster's etcd
  etcd_endpoints: "$(endpoints)"
  etcd_ca: "/calico-secrets/etcd-ca"
  etcd_cert: "/calico-secrets/etcd-cert"
  etcd_key: "/calico-secrets/etcd-key"
  calico_backend: "bird"
---
apiVersion: v1
kind: Secret
type: Opaque
metadata:
  name: calico-etcd-secrets
  namespace: kube-system
data:
  etcd-key: $(base64 -w 0 <"$LAB_STATE/etcd/client.key")
  etcd-cert: $(base64 -w 0 <"$LAB_STATE/etcd/client.crt")
  etcd-ca: $(base64 -w 0 <"$LAB_STATE/etcd/ca.crt")
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: calico-node
  namespace: kube-system
---
kind: DaemonSet
apiVersion: apps/v1
metadata:
  name: calico-node
  namespace: kube-system
  labels:
    k8s-app: calico-node
spec:
  selector:
    matchLabels:
      k8s-app: calico-node
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 1
  template:
    metadata:
      labels:
        k8s-app: calico-node
    spec:
      hostNetwork: true
      tolerations:
      - effect: NoSchedule
        operator: Exists
      - key: CriticalAddonsOnly
        operator: Exists
      - effect: NoExecute
        operator: Exists
      serviceAccountName: calico-node
      terminationGracePeriodSeconds: 0
      containers:
      - name: calico-node
        image: lab/pause:3.2
        imagePullPolicy: IfNotPresent
        env:
        - name: ETCD_ENDPOINTS
          valueFrom:
            configMapKeyRef:
              name: calico-config
              key: etcd_endpoints
        - name: NODENAME
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        volumeMounts:
        - mountPath: /calico-secrets
          name: etcd-certs
        - mountPath: /var/lib/calico
          name: var-lib-calico
      volumes:
      - name: var-lib-calico
        hostPath:
          path: /var/lib/calico
      - name: etcd-certs
        secret:
          secretName: calico-etcd-secrets
          defaultMode: 0400
TEXT
}

encryption_yaml() {
  cat <<TEXT
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: key1
        secret: $(openssl rand -base64 32)
  - identity: {}
TEXT
}

# The runbook's proxy, with its uneven indentation; Debian's nginx loads the stream module.
nginx_conf() {
  local host indent='                        '
  cat <<'TEXT'
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
error_log stderr notice;

worker_processes auto;
events {
  multi_accept on;
  use epoll;
  worker_connections 1024;
}

stream {
    upstream kube_apiserver {
        least_conn;
TEXT
  for host in "${MASTERS[@]}"; do
    printf '%sserver %s:6443;\n' "$indent" "${ADDRESS[$host]}"
    indent='                '
  done
  cat <<'TEXT'
            }

    server {
        listen        0.0.0.0:6443;
        proxy_pass    kube_apiserver;
        proxy_timeout 10m;
        proxy_connect_timeout 1s;
    }
}
TEXT
}
