#!/bin/busybox sh
# The guest's first process: captures while the workload runs, and sends both accounts out.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /tmp /run /etc /root /sys/fs/cgroup
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
echo 0 > /proc/sys/kernel/printk
echo root:x:0:0:root:/root:/bin/sh > /etc/passwd
echo secret > /etc/shadow
chmod 600 /etc/shadow
echo guest > /etc/hostname
ip link set lo up
stty -F /dev/ttyS1 raw -echo
exec 3> /dev/ttyS1

send() {
	echo "BEGIN $1" >&3
	gzip -c "$2" | base64 >&3
	echo "--- END" >&3
}

iouring capture --check > /tmp/check 2>&1
iouring capture --results --format ndjson > /tmp/events 2> /tmp/errors &
capture=$!
i=0
while [ ! -s /tmp/events ] && [ $i -lt 600 ] && kill -0 $capture; do
	usleep 100000
	i=$((i + 1))
done
for mode in $(cat /modes); do
	echo "MODE $mode" >> /tmp/said
	# shellcheck disable=SC2086
	workload $(echo "$mode" | tr , ' ') >> /tmp/said 2>> /tmp/errors
	echo "RC $?" >> /tmp/said
done
sleep 1
kill -INT $capture
wait $capture
echo "capture exited with $?" >> /tmp/errors
send check /tmp/check
send events /tmp/events
send said /tmp/said
send errors /tmp/errors
echo READY >&3
while true; do sleep 1000; done
