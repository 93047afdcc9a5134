# shellcheck shell=bash
# Run on a host by the lab's checks: what it knows of itself, a "key value" line each.
for unit in etcd docker kubelet; do
  echo "unit-$unit $(systemctl is-active "$unit" | sed 's/failed/inactive/') $(systemctl is-enabled "$unit" 2>/dev/null | grep -v -e not-found -e disabled)" | sed 's/ *$//'
done
echo "hostname $(hostname)"
conf=/etc/etcd/etcd.conf
if [ -f "$conf" ]; then
  echo "etcd-name $(grep -o -- '--name [^ ]*' "$conf" | cut -d' ' -f2)"
  echo "etcd-initial-cluster $(grep -o -- '--initial-cluster [^ ]*' "$conf" | cut -d' ' -f2)"
  echo "etcd-data $(stat -c '%a %U:%G' /var/lib/etcd)"
  echo "etcd-keys $(stat -c '%a %U' /etc/etcd/ssl/*.key | sort -u | paste -sd' ')"
  for name in server peer client; do echo "etcd-$name.crt $(base64 -w 0 "/etc/etcd/ssl/$name.crt")"; done
  for name in ca.crt client.crt client.key; do echo "sha-$name $(sha256sum <"/etc/etcd/ssl/$name" | cut -c1-16)"; done
fi
echo "etcd-files $(find /var/lib/etcd -mindepth 1 2>/dev/null | wc -l)"

kubernetes=/etc/kubernetes
if [ -f "$kubernetes/manifests/kube-apiserver.json" ]; then
  # shellcheck disable=SC2012  # names of manifests
  echo "manifests $(ls -A "$kubernetes/manifests" | sort | paste -sd' ')"
  echo "processes $(for name in kube-apiserver kube-controller-manager kube-scheduler; do pgrep -fc "^$name "; done | paste -sd' ')"
  running=$(tr '\0' '\n' <"/proc/$(pgrep -f '^kube-apiserver ' | head -n 1)/cmdline")
  echo "running-etcd-servers $(sed -n 's/^--etcd-servers=//p' <<<"$running")"
  echo "advertise $(sed -n 's/^--advertise-address=//p' <<<"$running")"
  echo "manifest-etcd-servers $(jq -r '.spec.containers[0].command[] | select(startswith("--etcd-servers=")) | ltrimstr("--etcd-servers=")' "$kubernetes/manifests/kube-apiserver.json")"
  echo "client-masters $(for name in kube-controller-manager kube-scheduler; do
    tr '\0' '\n' <"/proc/$(pgrep -f "^$name " | head -n 1)/cmdline" | sed -n 's/^--master=//p'
  done | sort -u | paste -sd' ')"
  echo "servers $(sed -n 's/^ *server: //p' "$kubernetes"/{kubeconfig,kubeadminconfig,admin.conf} | sort -u | paste -sd' ')"
  echo "pki-modes $(stat -c '%a %U' "$kubernetes"/pki/*-key.pem "$kubernetes/pki/sa.key" | sort -u | paste -sd' ')"
  echo "same $(sha256sum "$kubernetes"/pki/{ca.pem,ca-key.pem,sa.key,sa.pub,front-proxy-ca.pem,apiserver.pem,apiserver-key.pem} "$kubernetes/encryption.yaml" | cut -c1-8 | paste -sd' ')"
fi
if [ -f "$kubernetes/kubelet" ]; then
  echo "kubelet-name $(grep -o -- '--hostname-override=[^ "]*' "$kubernetes/kubelet" | cut -d= -f2)"
  echo "nodename $(base64 -w 0 /var/lib/calico/nodename)"
  echo "calico-endpoints $(docker ps --quiet --filter label=io.kubernetes.container.name=calico-node |
    xargs -r docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' | sed -n 's/^ETCD_ENDPOINTS=//p' | paste -sd' ')"
fi
if [ -f /opt/nginx/nginx.conf ]; then
  echo "upstreams $(sed -n 's/^ *server  *\([0-9.]*:[0-9]*\);.*/\1/p' /opt/nginx/nginx.conf | paste -sd' ')"
  echo "nginx-conf $(sha256sum </opt/nginx/nginx.conf | cut -c1-16)"
  echo "proxy-conf $(docker exec nginx-proxy cat /etc/nginx/nginx.conf | sha256sum | cut -c1-16)"
  echo "proxy-health $(curl --silent --max-time 5 --cacert "$kubernetes/pki/ca.pem" --cert "$kubernetes/pki/admin.pem" --key "$kubernetes/pki/admin-key.pem" https://127.0.0.1:6443/healthz)"
fi
