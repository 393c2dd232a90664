/**
 * Why memory could not be read. `unmapped`: no page table entry. `swapped`: the entry names a
 * swap slot. `not_in_image`: the page is known, the image does not hold it. `non_canonical`: not
 * an address. `null`: a null pointer. `over_budget`: more was read than a real kernel calls for.
 */
export type FaultReason =
  | "unmapped"
  | "swapped"
  | "not_in_image"
  | "non_canonical"
  | "null"
  | "over_budget";

/** A read of memory that cannot be done. */
export class MemoryFault extends Error {
  override readonly name = "MemoryFault";
  readonly address: bigint;
  readonly reason: FaultReason;

  constructor(address: bigint, reason: FaultReason) {
    super(`address 0x${address.toString(16)} is ${reason.replaceAll("_", " ")}`);
    this.address = address;
    this.reason = reason;
  }
}
