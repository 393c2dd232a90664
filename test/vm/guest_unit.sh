#!/bin/bash
# In a guest with systemd: runs the unit of the capture beside a workload, rotates its log, and says
# on the second serial line what came of it.
stty -F /dev/ttyS1 raw -echo
exec 3> /dev/ttyS1
log=/var/log/iouring/capture.ndjson

# Waits for a line in the log.
wait_for() {
	for ((i = 0; i < 6000; i++)); do
		grep -qs "$1" "$log" && return
		sleep 0.1
	done
}

send() {
	echo "BEGIN $1" >&3
	gzip -c | base64 >&3
	echo "END" >&3
}

systemctl start iouring-capture.service
wait_for '"phase":"start"'
pid=$(systemctl show -P MainPID iouring-capture.service)
cat "/proc/$pid"/task/*/status | send threads
/usr/local/bin/workload samples > /dev/null
wait_for IORING_OP_UNLINKAT
mv "$log" "$log.1"
systemctl try-restart iouring-capture.service
wait_for '"phase":"start"'
send first < "$log.1"
send second < "$log"
ls -ldn /var/log/private/iouring | send folder
systemd-analyze verify --man=no iouring-capture.service 2>&1 | send verify
systemd-analyze security iouring-capture.service --no-pager | tail -n 1 | send exposure
systemctl status --no-pager -l iouring-capture.service | send status
journalctl --no-pager -u iouring-capture.service | send journal
echo READY >&3
