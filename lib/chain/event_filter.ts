import type { EventFilterConfig } from "../config/event_filter.ts";
import type { Verdict } from "./process_filter.ts";
import { requestConditions } from "./request_filter.ts";
import { requestsOf } from "./request_view.ts";

/**
 * Builds the filter that `event_filter` describes: opcode AND path AND address AND port, values
 * within a list being alternatives and an empty list no condition.
 *
 * A record passes when one of its requests fulfils all of it; a ring's requests are those in
 * `history`, `in_flight` and `pending`. A record without any request, such as a registration, is
 * left out as soon as there is a condition. A path that the kernel could not be asked for fulfils
 * none, and the verdict is `unreadable` then, so that it is counted.
 */
export function eventFilter(config: EventFilterConfig): (record: object) => Verdict {
  const conditions = requestConditions(config);
  if (conditions.length === 0) return () => "pass";
  return (record) => {
    const fields = record as Readonly<Record<string, unknown>>;
    if (fields.type === "IOUringRegister") return "drop";
    let isUnread = false;
    for (const request of requestsOf(fields)) {
      let matches: boolean | undefined = true;
      for (const condition of conditions) {
        const fulfilled = condition(request);
        if (fulfilled === false) {
          matches = false;
          break;
        }
        if (fulfilled === undefined) matches = undefined;
      }
      if (matches) return "pass";
      if (matches === undefined) isUnread = true;
    }
    return isUnread ? "unreadable" : "drop";
  };
}
