import { runChainAsync } from "../chain/chain.ts";
import { Classifier } from "../chain/classifier.ts";
import { Filter } from "../chain/filter.ts";
import { UnreadEvents } from "../chain/unread_events.ts";
import { BadLineError, RecordReader } from "../chain/record_reader.ts";
import { StreamEnds } from "../chain/stream_ends.ts";
import { count, Tally } from "../chain/tally.ts";
import { exitCode } from "./fail_on.ts";
import type { Host } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";
import { StoppableInput } from "./stoppable_input.ts";
import { UsageError } from "./usage_error.ts";

/** Bad lines that are reported one by one; the summary counts them all. */
const MAX_REPORTS = 10;

/**
 * `iouring filter`: the records of an NDJSON stream that a config selects, classified.
 *
 * @throws {CutStreamError} The stream started and did not end.
 * @throws {BadLineError} A line is no record, and `--strict` was given.
 */
export async function filter(args: CommandArgs, host: Host): Promise<number> {
  const { flags, operand } = args;
  const path = flags.get("config");
  if (flags.has("check")) {
    if (path === undefined) throw new UsageError('Flag "--check" needs --config FILE');
    loadConfig(path, host);
    say(host, `Config ${JSON.stringify(path)} is valid`);
    return 0;
  }
  const output = new RecordOutput(args, host);
  const config = path === undefined ? {} : loadConfig(path, host);
  const input = operand === undefined || operand === "-" ? host.stdin : host.openInput(operand);
  const stoppable = new StoppableInput(input, host);
  const selection = new Filter(config);
  const classifier = new Classifier(config.classifier ?? {});
  let badLines = 0;
  const reader = new RecordReader((buffer) => stoppable.read(buffer), {
    onBadLine(line, problem) {
      if (flags.has("strict")) throw new BadLineError(`Line ${line} ${problem}`);
      if (++badLines <= MAX_REPORTS) say(host, `warning: Line ${line} ${problem}, left out`);
    },
    splitter: host.openSplitter(),
    isLeftOut: selection.isLeftOut,
    // Other formats want what is in them.
    ...(output.format === "ndjson"
      ? { unreadEvents: new UnreadEvents(selection, classifier) }
      : {}),
  });
  const ends = new StreamEnds();
  const tally = new Tally();
  try {
    // Opened before anything is read: a refused file is known at once.
    const sink = output.open();
    await runChainAsync(reader.batches(), {
      transforms: [ends.watch, selection.transform, classifier.transform],
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
  if (!stoppable.stopped) ends.check();
  return exitCode(args, tally);
}
