import type { Host } from "./host.ts";
import type { CommandArgs } from "./parse.ts";

/** `iouring filter`: the records that a config selects. */
export function filter(_args: CommandArgs, _host: Host): number {
  throw new Error("filter is not built yet");
}
