/** One line of the doctor's table. */
export interface Finding {
  check: string
  /** `unproven`: it could not be tried, or no run has shown it yet. */
  status: 'works' | 'missing' | 'unproven'
  detail: string
  /** Which driver, or part, it matters to. */
  matters: string
  /** What to do about it; empty where there is nothing to do. */
  wayOut: string
  /** Without it no container runs. */
  required: boolean
}

type Status = Finding['status']

export const finding = (check: string, matters: string, status: Status, detail: string, wayOut = '', required = false): Finding => ({
  check,
  matters,
  status,
  detail,
  wayOut: status === 'works' ? '' : wayOut,
  required,
})

export const yes = (ok: boolean): Status => (ok ? 'works' : 'missing')

/** What a check may ask of the machine. Tests put a made-up one in its place. */
export interface Machine {
  root: boolean
  dataRoot: string
  /** Text of a file, undefined when it cannot be read. */
  read(file: string): string | undefined
  exists(file: string): boolean
  list(dir: string): string[]
  /** Type, free bytes, free and all inodes of the file system that holds the path or its nearest parent. */
  fileSystem(path: string): { path: string; type: number; free: number; inodes: number; freeInodes: number } | undefined
  /** Full path of a program on PATH. */
  program(name: string): string | undefined
  /** Standard output and status of a program, at most 5 seconds. */
  run(command: string, args: readonly string[]): { status: number; output: string }
}
