# The first process of a node's namespaces: makes the node's own places, then waits and reaps orphans.
# Arguments: the node's folder, the address range of Services. Whoever kills this process ends the node.
set -eu
dir=$1 services=$2
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
# Programs write below these whatever their flags say; what they write must go when the node goes.
for place in /var/lib /var/log; do
  mkdir -p "$dir$place"
  mount --bind "$dir$place" "$place"
done
# The kubelet sets these for the whole machine; here it sets a copy.
mkdir /run/sysctl
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$name" ] || continue
  copy=/run/sysctl/${name//\//.}
  cat "/proc/sys/$name" >"$copy"
  mount --bind "$copy" "/proc/sys/$name"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# kube-proxy rewrites addresses of Services after routing: a route must exist, though nobody is at its end.
ip link add services0 type bridge
ip link set services0 up
ip route add "$services" dev services0
echo >/run/namespaces-ready
sleep infinity &
while :; do wait || :; done
