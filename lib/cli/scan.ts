import type { Host } from "./host.ts";
import type { CommandArgs } from "./parse.ts";

/** `iouring scan`: the rings of a memory image. */
export function scan(args: CommandArgs, host: Host): number {
  host.openImage(args.operand!).close();
  throw new Error("scan is not built yet");
}
