import type { ExecConfig, ExecInspectResponse } from '../../schema/engine-api.js'
import type { StdioClient, StdioSession } from '../containers/index.js'

export interface Execs {
  /** 409 when the container is not running or is paused. */
  create(containerReference: string, config: ExecConfig): Promise<{ Id: string }>
  /** Detached: resolves once exec'd. Otherwise the session; the client is ended when the process is gone. */
  start(
    id: string,
    options: { detach: boolean; tty: boolean; consoleSize?: [number, number] },
    client: StdioClient | undefined,
  ): Promise<StdioSession | undefined>
  hasTty(id: string): Promise<boolean>
  resize(id: string, height: number, width: number): Promise<void>
  /** At boot: what ended is cleaned away, what lives is when it ends. */
  restore(): Promise<void>
  inspect(id: string): Promise<ExecInspectResponse>
}
export const Execs = Symbol.for('tsd.Execs')
