# Captures while rings are held and the workload runs in all MODES, then where new rings are forbidden.
mkfifo gate
workload hold < gate > hold &
exec 4> gate
await hold $!
iouring capture --check > check 2>&1
iouring capture -v --results --ring-buffer 1M --format ndjson > events 2> errors &
capture=$!
await events $capture
for mode in $MODES; do
	echo "MODE $mode"
	# shellcheck disable=SC2046
	timeout 600 workload $(echo "$mode" | tr , " ") 2>> errors
	echo "RC $?"
done > said
# A request a millisecond beside a flood.
timeout 600 workload nop 100000 0 > flood &
flood=$!
timeout 600 workload ticks 200 > ticks
wait $flood
kill -INT $capture
wait $capture
echo "capture exited with $?" >> errors
# Of what floods the totals are enough.
grep -vE '"args":"(nop|preempt) ' events > told
send check hold told said flood ticks errors

disabled=/proc/sys/kernel/io_uring_disabled
if [ -e $disabled ]; then
	for value in 1 2; do
		echo $value > $disabled
		try "disabled-$value" iouring capture --format ndjson -d 1
	done
fi
