#!/bin/busybox sh
# The first process of a guest that has a job: makes the system, runs /job.sh, and says on the second
# serial line what the job sends.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /tmp /run /etc /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
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

# Sends files by their names.
send() {
	for file; do
		echo "BEGIN ${file##*/}" >&3
		gzip -c "$file" | base64 >&3
		echo "--- END" >&3
	done
}

# Runs its arguments behind a name: what they print and how they end are files of that name.
try() {
	name=$1
	shift
	"$@" > "/tmp/$name.out" 2> "/tmp/$name.err"
	echo $? > "/tmp/$name.code"
	send "/tmp/$name.out" "/tmp/$name.err" "/tmp/$name.code"
}

# Waits until a file has something in it, or a process has ended.
await() {
	i=0
	while [ ! -s "$1" ] && [ $i -lt 12000 ] && kill -0 "$2"; do
		usleep 50000
		i=$((i + 1))
	done
}

cd /tmp || exit
. /job.sh
echo READY >&3
while true; do sleep 1000; done
