#!/bin/busybox sh
# The guest's first process: mounts what the workload needs, runs it, lets the
# kernel say what it knows of the rings, and waits for the dump.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /tmp /run /etc /root /sys/fs/cgroup
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
echo 0 > /proc/sys/kernel/printk
echo root:x:0:0:root:/root:/bin/sh > /etc/passwd
ip link set lo up
for module in /modules/*; do
	[ -f "$module" ] && insmod "$module"
done
# Off by default on a small machine.
echo madvise > /sys/kernel/mm/transparent_hugepage/enabled
# A little swap, so that an argument can be swapped out.
if dd if=/dev/zero of=/swapfile bs=1M count=8 2> /dev/null &&
	losetup /dev/loop0 /swapfile && mkswap /dev/loop0; then
	swapon /dev/loop0
fi
stty -F /dev/ttyS1 raw -echo
exec 3> /dev/ttyS1
cat /proc/version /proc/cmdline
# shellcheck disable=SC2086
TRUTH=/dev/ttyS1 /bin/workload $(cat /workload.args) 3>&- &
while [ ! -e /run/rested ] && kill -0 $!; do
	usleep 200000
done

# A process for each file would take long, and memory that tells of the past.
ls -l /proc/[0-9]*/fd 2> /dev/null | awk '
	/:$/ { split($0, folder, "/") }
	/anon_inode:\[io_uring\]$/ {
		print "FDINFO", folder[3], $(NF - 2)
		path = "/proc/" folder[3] "/fdinfo/" $(NF - 2)
		while ((getline line < path) > 0) print line
		close(path)
		print "END"
	}
' >&3
{
	echo "VERSION $(cat /proc/version)"
	echo "BOOT $(grep btime /proc/stat)"
	echo "UPTIME $(cat /proc/uptime)"
	echo "TIME $(date +%s)"
	grep -E ' (_text|_stext|init_task|linux_banner|io_uring_fops)$' \
		/proc/kallsyms | sed 's/^/SYMBOL /'
	echo READY
} >&3
echo READY
# What a test has the guest do once the workload is at rest.
if [ -e /at_rest ]; then
	sh /at_rest >&3 && echo DONE >&3
fi
# The processor in user mode: the page tables in use may not be the kernel's.
case " $(cat /proc/cmdline) " in
*" lab.spin "*) exec /bin/workload --spin ;;
esac
while true; do sleep 1000; done
