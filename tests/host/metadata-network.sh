#!/bin/bash
# A host with a container and the metadata service behind it, in three network namespaces; the caller's is the host's.
# Sourced by test_metadata.py, which goes on with `ask`.
set -eu
trap 'kill $(jobs -p) 2> /dev/null' EXIT
METADATA=(http://169.254.169.254/ 'http://[fd00:a9fe:a9fe::1]/')

# Start a network namespace; its process is in $pid.
namespace() {
  unshare --net /bin/sleep 600 &
  pid=$!
  until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do /bin/sleep 0.01; done
}
within() { nsenter --net="/proc/$1/ns/net" "${@:2}"; } # PID COMMAND...
caddy() { setpriv --reuid caddy --regid caddy --clear-groups "$@"; }
container() { within "$container" "$@"; }
# ask NAME COMMAND...: print whether the command's curl reaches the metadata service, over IPv4 and IPv6.
ask() {
  local url
  for url in "${METADATA[@]}"; do
    if "${@:2}" curl -sf --max-time 20 "$url" > /dev/null; then echo "$1 open"; else echo "$1 closed"; fi
  done
}

namespace
container=$pid
namespace
metadata=$pid
ip link set lo up
ip link add tocontainer type veth peer name eth0 netns "$container"
ip link add tometadata type veth peer name eth0 netns "$metadata"
ip addr add 172.30.0.1/24 dev tocontainer
ip -6 addr add fd00:2::1/64 dev tocontainer nodad
ip addr add 169.254.169.1/24 dev tometadata
ip -6 addr add fd00:a9fe:a9fe::2/64 dev tometadata nodad
ip link set tocontainer up
ip link set tometadata up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
for address in 172.30.0.2/24 fd00:2::2/64; do within "$container" ip addr add "$address" dev eth0; done
within "$container" ip link set eth0 up
within "$container" ip route add default via 172.30.0.1
within "$container" ip -6 route add default via fd00:2::1
for address in 169.254.169.254/24 fd00:a9fe:a9fe::1/64; do within "$metadata" ip addr add "$address" dev eth0; done
within "$metadata" ip link set eth0 up
within "$metadata" ip route add default via 169.254.169.1
within "$metadata" ip -6 route add default via fd00:a9fe:a9fe::2
mkdir -p /srv/metadata
echo user-data > /srv/metadata/index.html
for address in 169.254.169.254 fd00:a9fe:a9fe::1; do
  while within "$metadata" ip -o addr show dev eth0 tentative | grep -qF "$address"; do /bin/sleep 0.1; done
  within "$metadata" /usr/bin/python3 -m http.server --directory /srv/metadata --bind "$address" 80 > /dev/null 2>&1 &
done
for url in "${METADATA[@]}"; do
  until curl -sf --max-time 5 "$url" > /dev/null; do /bin/sleep 0.1; done
  until within "$container" curl -sf --max-time 5 "$url" > /dev/null; do /bin/sleep 0.1; done
done
