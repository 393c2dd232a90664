import { deepStrictEqual, equal } from "node:assert/strict";
import type { AnyRecord } from "./capture.ts";

const SAMPLES: readonly AnyRecord[] = JSON.parse(
  await Deno.readTextFile(new URL("samples.json", import.meta.url)),
);

/** Checks that events of `workload samples`, cut to the model's keys, are as the model's five are. */
export function checkSamples(events: readonly AnyRecord[]): void {
  equal(events.length, SAMPLES.length);
  for (const [index, sample] of SAMPLES.entries()) {
    const event = events[index];
    const cut = {
      type: event.type,
      process: pick(event.process, sample.process),
      opcode: event.opcode,
      op_info: pick(event.op_info, sample.op_info),
      timestamp: event.timestamp,
    };
    deepStrictEqual(typesOf(cut), typesOf(sample));
    equal(cut.opcode, sample.opcode);
    for (const key of ["access_flags", "creation_flags", "port"]) {
      equal(cut.op_info[key], sample.op_info[key]);
    }
  }
}

/** The types of a value's keys, in their order. */
function typesOf(value: AnyRecord): AnyRecord {
  return typeof value === "object"
    ? Object.entries(value).map(([key, item]) => [key, typesOf(item)])
    : typeof value;
}

/** The keys of `model` from `value`, in the order of `value`. */
function pick(value: AnyRecord, model: AnyRecord): AnyRecord {
  return Object.fromEntries(Object.entries(value).filter(([key]) => key in model));
}
