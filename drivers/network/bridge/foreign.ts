import { acceptMark, acceptRule, foreignForwards, iptablesProgram } from 'tsd-engine/native'
import type { Logger } from 'tsd-engine/sdk'
import type { Helper } from './helper.js'

/** Puts the accept where it is needed. A machine without the iptables program is told how. */
export async function passForeignForwards(helper: Helper, logger: Logger): Promise<void> {
  for (const { variant, chain, accepted: done } of await foreignForwards((argv) => helper.run(argv))) {
    if (done) continue
    const command = iptablesProgram[variant]()
    if (!command) {
      logger.warn(
        `the FORWARD chain of another firewall drops by policy and iptables is not installed: published ports are not reachable from other hosts. ` +
          `Accept packets with mark ${acceptMark} in it`,
      )
      continue
    }
    await helper.run([command, '-w', '5', '-I', chain, ...acceptRule])
    logger.info('inserted an accept for our bridges into the forward chain of another firewall', { variant, chain })
  }
}

/** Takes the accept away again, from wherever it stands. */
export async function forgetForeignForwards(helper: Helper): Promise<void> {
  for (const { variant, chain, accepted: done } of await foreignForwards((argv) => helper.run(argv))) {
    const command = iptablesProgram[variant]()
    if (done && command) await helper.run([command, '-w', '5', '-D', chain, ...acceptRule])
  }
}
