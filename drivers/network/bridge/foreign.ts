import { acceptMark, acceptRule, foreignForwards, iptablesProgram } from 'tsd-engine/native'
import type { Logger } from 'tsd-engine/sdk'
import type { Helper } from './helper.js'

/** Puts the accept where it is needed. A machine without the iptables program is told how. */
export async function passForeignForwards(helper: Helper, logger: Logger): Promise<void> {
  for (const place of await foreignForwards((argv) => helper.run(argv))) {
    const { family, variant, chain } = place
    if (place.accepted) continue
    const command = iptablesProgram(place)
    if (!command) {
      logger.warn(
        `the ${family} FORWARD chain of another firewall drops by policy and ${family}tables is not installed: published ports are not reachable from other hosts. ` +
          `Accept packets with mark ${acceptMark} in it`,
      )
      continue
    }
    await helper.run([command, '-w', '5', '-I', chain, ...acceptRule])
    logger.info('inserted an accept for our bridges into the forward chain of another firewall', { family, variant, chain })
  }
}

/** Takes the accept away again, from wherever it stands. */
export async function forgetForeignForwards(helper: Helper): Promise<void> {
  for (const place of await foreignForwards((argv) => helper.run(argv))) {
    const command = iptablesProgram(place)
    if (place.accepted && command) await helper.run([command, '-w', '5', '-D', place.chain, ...acceptRule])
  }
}
