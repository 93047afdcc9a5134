# shellcheck shell=bash
# Chapters 3 to 6 of the runbook, sourced by runbook.sh; its slips mended as in the first two.

etcd_servers() {
  local host list=
  for host in "${MASTERS[@]}" "${BARE[@]}"; do list+=,https://$(address_of "$host"):2379; done
  echo "${list#,}"
}

chapter3() {
  local host address first=${MASTERS[0]} from
  from=$(address_of "$first")
  for host in "${BARE[@]}"; do
    address=$(address_of "$host")
    on "$first" 'tar c -C / usr/bin/kubelet usr/bin/kubectl etc/systemd/system/kubelet.service' </dev/null | on "$host" 'tar x -C /'
    # Pods come and go while this is read.
    on "$first" 'tar c --ignore-failed-read --warning=none -C / etc/kubernetes etc/calico etc/cni opt/cni var/lib/calico var/lib/cni var/lib/kubelet || [ $? = 1 ]' </dev/null |
      on "$host" 'tar x -C /'
    on "$host" "printf %s $host.$LAB_DOMAIN >/var/lib/calico/nodename
      rm -rf /var/lib/kubelet/pods/* /var/lib/kubelet/pki/* /var/lib/kubelet/device-plugins/* /var/lib/kubelet/cpu_manager_state
      cd /etc/kubernetes
      sed -i 's/$from\b/$address/' manifests/kube-apiserver.json manifests/kube-controller-manager.json manifests/kube-scheduler.json kubeadminconfig kubeconfig admin.conf
      sed -i 's|--etcd-servers=[^\"]*|--etcd-servers=$(etcd_servers)|' manifests/kube-apiserver.json
      sed -i 's/$first\.$LAB_DOMAIN/$host.$LAB_DOMAIN/' kubelet
      sed -i 's|etcd_endpoints: .*|etcd_endpoints: \"$(etcd_servers)\"|' addon/calico.yaml" </dev/null
    say "chapter 3: Kubernetes laid out on $host"
  done
}

# A new apiserver process with all the members, and it serves.
apiserver_renewed() {
  on "$1" "[ \$(pgrep -fc '^kube-apiserver ') = 1 ] && tr '\0' '\n' </proc/\$(pgrep -f '^kube-apiserver ')/cmdline | grep -qxF -- '--etcd-servers=$(etcd_servers)'" </dev/null &&
    api "$(address_of "$1")" /healthz
}

chapter4() {
  local host first=${MASTERS[0]} next
  next=$(on "$first" "sed -n 's/^IP\.\([0-9]*\) .*/\1/p' /opt/kubernetes/pki/openssl.conf | sort -n | tail -n 1" </dev/null)
  for host in "${BARE[@]}"; do
    on "$first" "echo IP.$((++next)) = $(address_of "$host") >>/opt/kubernetes/pki/openssl.conf" </dev/null
  done
  on "$first" "cd /opt/kubernetes/pki && openssl req -new -key apiserver-key.pem -out apiserver.csr -subj '$APISERVER_SUBJECT' -config openssl.conf &&
    openssl x509 -req -in apiserver.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out apiserver.pem -days $APISERVER_DAYS -extensions v3_req -extfile openssl.conf 2>/dev/null" </dev/null
  take "$first" /opt/kubernetes/pki/apiserver.pem "$LAB_RUN/apiserver.pem"
  for host in "${MASTERS[@]}"; do
    give "$LAB_RUN/apiserver.pem" "$host" /etc/kubernetes/pki/apiserver.pem
    on "$host" "cd /etc/kubernetes/manifests && sed 's|--etcd-servers=[^\"]*|--etcd-servers=$(etcd_servers)|' kube-apiserver.json >.kube-apiserver.json && mv .kube-apiserver.json kube-apiserver.json &&
      sed -i 's|etcd_endpoints: .*|etcd_endpoints: \"$(etcd_servers)\"|' /etc/kubernetes/addon/calico.yaml" </dev/null
    wait_for 180 "the apiserver on $host" apiserver_renewed "$host"
    say "chapter 4: the apiserver on $host has the new certificate and members"
  done
}

node_ready() { lab_kubectl wait --for=condition=Ready "node/$1.$LAB_DOMAIN" --timeout=1s; }
calico_rolled() { lab_kubectl -n kube-system rollout status daemonset/calico-node --timeout=1s; }

token_accepted() {
  curl --silent --show-error --fail --max-time 5 --cacert "$LAB_STATE/kube/ca.pem" --header "Authorization: Bearer $2" "https://$(address_of "$1"):6443/api/v1/"
}

chapter5() {
  local host first=${MASTERS[0]} token
  for host in "${BARE[@]}"; do
    on "$first" 'tar c -C /etc/kubernetes pki' </dev/null | on "$host" 'tar x -C /etc/kubernetes'
    on "$host" 'systemctl daemon-reload && systemctl start docker && systemctl start kubelet && systemctl enable -q docker kubelet' </dev/null
  done
  for host in "${BARE[@]}"; do
    wait_for 180 "the apiserver on $host" api "$(address_of "$host")" /healthz
    wait_for 180 "node $host" node_ready "$host"
    lab_kubectl label --overwrite node "$host.$LAB_DOMAIN" node-role.kubernetes.io/master= >/dev/null
    lab_kubectl taint --overwrite node "$host.$LAB_DOMAIN" node-role.kubernetes.io/master=:NoSchedule >/dev/null
    lab_kubectl cordon "$host.$LAB_DOMAIN" >/dev/null
  done
  token=$(lab_kubectl -n kube-system get secrets -o json | jq -r '[.items[] | select(.metadata.name | startswith("default-token-"))][0].data.token | @base64d')
  for host in "${BARE[@]}"; do
    wait_for 30 "a token request to $host" token_accepted "$host" "$token"
  done
  say "chapter 5: ${BARE[*]} are nodes, their apiservers take a token"

  on "$first" 'export KUBECONFIG=/etc/kubernetes/admin.conf && mkdir -p /root/backup && cd /root/backup &&
    kubectl -n kube-system get secrets calico-etcd-secrets -o yaml >calico-etcd-secrets.bak.yaml &&
    kubectl -n kube-system create secret generic calico-etcd-secrets --dry-run=client -o yaml --from-file=etcd-ca=/etc/etcd/ssl/ca.crt \
      --from-file=etcd-cert=/etc/etcd/ssl/client.crt --from-file=etcd-key=/etc/etcd/ssl/client.key >calico-etcd-secrets-new.yaml &&
    kubectl apply -f calico-etcd-secrets-new.yaml' </dev/null >/dev/null
  lab_kubectl -n kube-system patch configmap calico-config --type merge -p "{\"data\":{\"etcd_endpoints\":\"$(etcd_servers)\"}}" >/dev/null
  lab_kubectl -n kube-system rollout restart daemonset/calico-node >/dev/null
  wait_for 180 'the calico pods' calico_rolled
  say "chapter 5: calico has the new certificate and members"
}

chapter6() {
  local host worker lines=''
  for host in "${BARE[@]}"; do lines+="                server $(address_of "$host"):6443;\\n"; done
  for worker in $LAB_WORKERS; do
    on "$worker" "sed -i '/^ *server .*$(address_of "${MASTERS[-1]}"):6443;/a\\${lines%\\n}' /opt/nginx/nginx.conf && docker restart nginx-proxy" </dev/null >/dev/null
    say "chapter 6: $worker proxies to all"
  done
}
