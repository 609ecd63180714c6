# Cleans up after a test cluster, however its owner ended: the owner holds the other end of stdin.
# Lines on stdin: "watch PID" (leader of a process group), "forget PID".
# Arguments: the folder to remove ("" keeps it), then what else to remove: "link:NAME", "cgroup:NAME".
declare -A watched
while read -r verb pid; do
  case $verb in
    watch) watched[$pid]=1 ;;
    forget) unset "watched[$pid]" ;;
  esac
done
for pid in "${!watched[@]}"; do kill -KILL -- "-$pid"; done 2>/dev/null
dir=$1
shift

remove() {
  case $1 in
    link:*)
      ! [ -e "/sys/class/net/${1#link:}" ] || ip link delete "${1#link:}" 2>/dev/null || ! [ -e "/sys/class/net/${1#link:}" ]
      ;;
    cgroup:*)
      local tree left=0
      for tree in "/sys/fs/cgroup/${1#cgroup:}" /sys/fs/cgroup/*/"${1#cgroup:}"; do
        [ -d "$tree" ] || continue
        find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null
        [ ! -d "$tree" ] || left=1
      done
      return $left
      ;;
  esac
}

# The kernel needs a moment to end what was killed; until then files appear and cgroups are busy.
for _ in {1..100}; do
  left=
  for trace in "$@"; do remove "$trace" || left+=" $trace"; done
  if [ -n "$dir" ]; then rm -rf --one-file-system -- "$dir" 2>/dev/null || left+=" $dir"; fi
  [ -n "$left" ] || exit 0
  sleep 0.1
done
echo "left behind:$left" >&2
exit 1
