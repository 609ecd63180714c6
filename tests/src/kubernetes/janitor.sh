# Cleans up after a test cluster, however its owner ended: the owner holds the other end of stdin.
# Lines on stdin: "watch PID" (leader of a process group), "forget PID".
# Arguments: the folder to remove ("" keeps it), then the names of cgroups to remove.
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
# The kernel needs a moment to end what was killed; until then files appear and cgroups are busy.
for _ in {1..100}; do
  left=
  if [ -n "$dir" ]; then rm -rf --one-file-system -- "$dir" 2>/dev/null || left=1; fi
  for cgroup in "$@"; do
    for tree in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
      [ -d "$tree" ] || continue
      find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null
      [ ! -d "$tree" ] || left=1
    done
  done
  [ -n "$left" ] || exit 0
  sleep 0.1
done
echo "left behind: $dir $*" >&2
exit 1
