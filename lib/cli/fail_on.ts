import { severityRank } from "../config/rule.ts";
import type { Tally } from "../chain/tally.ts";
import type { CommandArgs } from "./parse.ts";

/** The exit code of a run that went well: 3 where it found what `--fail-on` names, else 0. */
export function exitCode({ flags }: CommandArgs, tally: Tally): number {
  const least = flags.get("fail-on");
  return least !== undefined && severityRank(tally.severity) >= severityRank(least) ? 3 : 0;
}
