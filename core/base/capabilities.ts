/** Index is the capability's number in the kernel. */
export const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN ' +
  'NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME ' +
  'SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON ' +
  'BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`)

/** Bit mask of names; unknown ones are reported. */
export function capabilityMask(names: readonly string[] | undefined): { mask: bigint; unknown: string[] } {
  let mask = 0n
  const unknown: string[] = []
  for (const name of names ?? []) {
    const bit = CAPABILITIES.indexOf(name)
    if (bit < 0) unknown.push(name)
    else mask |= 1n << BigInt(bit)
  }
  return { mask, unknown }
}

export function capabilitiesOfMask(mask: bigint): string[] {
  return CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n)
}
