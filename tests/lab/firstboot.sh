#!/bin/bash
# Runs once inside a new host before systemd: lays out what the seed under /lab holds. Its log is /var/log/firstboot.log.
set -eux
cd /lab
role=$(cat role)

# Not by rename alone: these were mount points a moment ago.
cat hostname >/etc/hostname
cat hosts >/etc/hosts
: >/etc/resolv.conf
# systemd would take the machine's own, the same on every host.
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id

install -m 0600 ssh/ssh_host_*_key /etc/ssh/
install -m 0644 ssh/ssh_host_*_key.pub /etc/ssh/
install -d -m 0700 /root/.ssh
install -m 0600 authorized_keys /root/.ssh/authorized_keys
install -d -m 0700 -o ops -g ops /home/ops/.ssh
install -m 0600 -o ops -g ops authorized_keys /home/ops/.ssh/authorized_keys

if [ "$role" = bare ]; then
  systemctl enable firewalld.service
fi

if [ "$role" = master ]; then
  useradd etcd
  install -m 0755 bin/* /usr/local/bin/
  install -m 0644 etcd.service /etc/systemd/system/etcd.service
  install -d /etc/etcd /etc/etcd/ssl
  install -m 0644 etcd/etcd.conf /etc/etcd/etcd.conf
  install -m 0644 etcd/ssl/*.crt /etc/etcd/ssl/
  install -m 0600 etcd/ssl/*.key /etc/etcd/ssl/
  install -d -m 0700 /var/lib/etcd
  chown -R etcd:etcd /etc/etcd /var/lib/etcd
fi

# A Kubernetes host's tree, then what it starts by itself.
[ ! -d root ] || cp -a root/. /
while read -r unit; do systemctl enable "$unit"; done <units
