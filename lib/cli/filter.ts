import { runChain } from "../chain/chain.ts";
import { Filter } from "../chain/filter.ts";
import { RecordReader } from "../chain/record_reader.ts";
import { StreamEnds } from "../chain/stream_ends.ts";
import { count, Tally } from "../chain/tally.ts";
import type { Host } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";
import { UsageError } from "./usage_error.ts";

/** Bad lines that are reported one by one; the summary counts them all. */
const MAX_REPORTS = 10;

/**
 * `iouring filter`: the records of an NDJSON stream that a config selects.
 *
 * @throws {CutStreamError} The stream started and did not end.
 */
export function filter(args: CommandArgs, host: Host): number {
  const path = args.flags.get("config");
  if (path === undefined) {
    throw new UsageError("Cannot filter without a config: give --config FILE");
  }
  const output = new RecordOutput(args, host);
  const config = loadConfig(path, host);
  if (args.flags.has("check")) {
    say(host, `Config ${JSON.stringify(path)} is valid`);
    return 0;
  }

  const { operand } = args;
  const input = operand === undefined || operand === "-" ? host.stdin : host.openInput(operand);
  let badLines = 0;
  const reader = new RecordReader((buffer) => input.read(buffer), {
    onBadLine(line, problem) {
      if (++badLines <= MAX_REPORTS) say(host, `warning: Line ${line} ${problem}, left out`);
    },
  });
  const selection = new Filter(config);
  const ends = new StreamEnds();
  const tally = new Tally();
  try {
    // Opened before anything is read: a refused file is known at once.
    const sink = output.open();
    runChain(reader.batches(), {
      transforms: [ends.watch, selection.transform],
      openSink: () => sink,
      tally,
      live: true,
    });
  } finally {
    output.close();
    input.close();
  }
  if (selection.warning !== undefined) say(host, `warning: ${selection.warning}`);
  const skipped = badLines === 0 ? "" : `, ${count(badLines, "bad line")} left out`;
  say(host, tally.summary() + skipped);
  ends.check();
  return 0;
}
