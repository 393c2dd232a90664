/**
 * Capability names at the index of their bit.
 *
 * Source: include/uapi/linux/capability.h; 41 since Linux 5.9.
 */
export const CAPABILITY_NAMES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
];

const ALL_CAPABILITIES = (1n << BigInt(CAPABILITY_NAMES.length)) - 1n;

/**
 * A capability set as the model writes it.
 *
 * @param mask The 64-bit set, bit 0 = CAP_CHOWN.
 * @returns `""` for none, `"ANY_CAPS"` for exactly the 41 known ones, else `"CAP_A | CAP_B"` in bit
 * order. A set with a bit that has no name is spelled out, the unknown bits as one hex number at
 * the end.
 */
export function capabilityText(mask: bigint): string {
  const set = BigInt.asUintN(64, mask);
  if (set === 0n) return "";
  if (set === ALL_CAPABILITIES) return "ANY_CAPS";
  const names = CAPABILITY_NAMES.filter((_, bit) => (set >> BigInt(bit)) & 1n);
  const unknown = set & ~ALL_CAPABILITIES;
  if (unknown !== 0n) names.push(`0x${unknown.toString(16)}`);
  return names.join(" | ");
}
