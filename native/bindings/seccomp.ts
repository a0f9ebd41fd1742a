/** What a launcher needs to know of seccomp filters; compiling is seccomp-compile.ts's, in a process of its own. */

/** `linux.seccomp` of the OCI runtime spec. */
export interface SeccompSpec {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  syscalls?: {
    names: string[]
    action: string
    errnoRet?: number
    args?: { index: number; value: number; valueTwo?: number; op: string }[]
  }[]
}

/** Raise when the compiler's output for the same input changes. */
export const SECCOMP_COMPILER_VERSION = 1

/** Command that compiles the profile on its stdin to its stdout. */
export function seccompCompiler(): string[] {
  return [process.execPath, '--max-semi-space-size=1', new URL('./seccomp-compile.js', import.meta.url).pathname]
}

const flagBits: Record<string, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
}

/** Bits of seccomp(2). Without a list, speculation stays allowed, as runc does it. Unknown flags are answered in `unknown`. */
export function seccompFlags(seccomp: Pick<SeccompSpec, 'flags'>): { flags: number; unknown: string[] } {
  if (!seccomp.flags) return { flags: 4, unknown: [] }
  let flags = 0
  const unknown: string[] = []
  for (const name of seccomp.flags) {
    const bit = flagBits[name]
    if (bit === undefined) unknown.push(name)
    // A single-threaded process has nothing to synchronise.
    else if (bit !== 1) flags |= bit
  }
  return { flags, unknown }
}
