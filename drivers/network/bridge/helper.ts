import { deleteLink, encodePlan, MessageWriter, NETLINK_ROUTE } from 'tsd-engine/native'
import type { Spawner } from 'tsd-engine/sdk'

/** What must not run on the event loop. */
export interface Helper {
  /** A link that is gone already is success. */
  deleteLink(index: number, name: string): Promise<void>
  /** Runs a program to its end; answers its output, throws when it fails. */
  run(argv: string[]): Promise<string>
}

const ENODEV = 19

export class SpawnerHelper implements Helper {
  constructor(private readonly spawner: Spawner) {}

  async deleteLink(index: number, name: string): Promise<void> {
    const w = new MessageWriter()
    deleteLink(w, index)
    const plan = encodePlan({
      host: [{ op: 'netlink', protocol: NETLINK_ROUTE, messages: w.bytes(), names: [`delete link ${name}`], ignore: [ENODEV] }],
    })
    await this.spawner.run(plan, { deadline: 30_000, name: `delete link ${name}` })
  }

  async run(argv: string[]): Promise<string> {
    const plan = encodePlan({ host: [{ op: 'run', argv, env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'], stdio: 'capture' }] })
    const { output } = await this.spawner.run(plan, { deadline: 20_000, name: argv.slice(0, 2).join(' ') })
    return Buffer.from(output).toString('utf8')
  }
}
